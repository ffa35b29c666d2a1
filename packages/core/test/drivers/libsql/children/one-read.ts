/** Reads one row from a server with the sources in a directory, and prints it, or how that ended. */
import { pathToFileURL } from 'node:url';
import type * as driver from '../../../../src/drivers/libsql/libsql.ts';
import type * as core from '../../../../src/index.ts';

const [source = '', url = ''] = process.argv.slice(2);
const load = (file: string): Promise<unknown> => import(new URL(file, `${pathToFileURL(source).href}/`).href);
const { createPool, SqlitePoolError } = (await load('index.ts')) as typeof core;
const { libsql } = (await load('drivers/libsql/libsql.ts')) as typeof driver;
const pool = createPool({ driver: libsql({ url }) });
try {
  console.log(JSON.stringify(await pool.get('SELECT 1 AS n')));
} catch (error) {
  if (!(error instanceof SqlitePoolError)) throw error;
  const { code, message, cause } = error;
  const { message: because } = cause as Error;
  console.log(JSON.stringify({ code, message, cause: because, deeper: String((cause as Error).cause) }));
}
await pool.close();
