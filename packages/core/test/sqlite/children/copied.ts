/** Opens a pool of a copy of the sources, whose directory has its own idea of installed packages, and reports how that ends. */
import { pathToFileURL } from 'node:url';
import type * as driver from '../../../src/drivers/sqlite3/sqlite3.ts';
import type * as core from '../../../src/index.ts';

const [source = ''] = process.argv.slice(2);
const load = (file: string): Promise<unknown> => import(new URL(file, `${pathToFileURL(source).href}/`).href);
const { createPool, DriverMissingError } = (await load('index.ts')) as typeof core;
const { sqlite3 } = (await load('drivers/sqlite3/sqlite3.ts')) as typeof driver;
const pool = createPool({ driver: sqlite3({ filename: ':memory:' }) });
try {
  await pool.open();
} catch (error) {
  if (!(error instanceof DriverMissingError)) throw error;
  process.send?.({ code: error.code, message: error.message, cause: String(error.cause) });
}
await pool.close();
process.disconnect();
