/** Opens a pool of a copy of the sources, whose directory has its own idea of installed packages, and reports how that ends. */
import { pathToFileURL } from 'node:url';
import type * as core from '../../../src/index.ts';

const [index = ''] = process.argv.slice(2);
const { createPool, DriverMissingError, sqlite3 } = (await import(pathToFileURL(index).href)) as typeof core;
const pool = createPool({ driver: sqlite3({ filename: ':memory:' }) });
try {
  await pool.open();
} catch (error) {
  if (!(error instanceof DriverMissingError)) throw error;
  process.send?.({ code: error.code, message: error.message, cause: String(error.cause) });
}
await pool.close();
process.disconnect();
