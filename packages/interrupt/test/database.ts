import { DatabaseSync } from 'node:sqlite';
import BetterSqlite3 from 'better-sqlite3';

export const DRIVERS = ['node:sqlite', 'better-sqlite3'] as const;
export type Driver = (typeof DRIVERS)[number];

/** What both drivers have. */
export interface Database {
  loadExtension(path: string): unknown;
  exec(sql: string): unknown;
  prepare(sql: string): Statement;
  function(name: string, options: { varargs: boolean }, implementation: () => number): unknown;
  close(): unknown;
}

interface Statement {
  all(): unknown[];
  get(...parameters: unknown[]): unknown;
  iterate(): Iterator<unknown>;
}

/** Opens a database that may load extensions. */
export function connect(driver: Driver, filename: string = ':memory:'): Database {
  // The types of better-sqlite3 derive the parameters of get() from a type argument of prepare(), which is not generic here.
  return driver === 'node:sqlite'
    ? new DatabaseSync(filename, { allowExtension: true })
    : (new BetterSqlite3(filename) as Database);
}

/** Opens a database that has the extension, and may load no other. */
export function open(driver: Driver, path: string, filename?: string): Database {
  const database = connect(driver, filename);
  database.loadExtension(path);
  if (database instanceof DatabaseSync) database.enableLoadExtension(false);
  return database;
}

/** The key of a connection. */
export function keyOf(database: Database): number {
  return numberIn(database.prepare('SELECT sqlite_pool_interrupt() AS value').get());
}

/** A function that interrupts the connection with a key, and returns 1, or 0 if there is none. */
export function interruptOf(database: Database): (key: number) => number {
  const statement = database.prepare('SELECT sqlite_pool_interrupt(?) AS value');
  return (key) => numberIn(statement.get(key));
}

/** The property `value` of a row. */
export function numberIn(row: unknown): number {
  if (typeof row === 'object' && row !== null && 'value' in row && typeof row.value === 'number') {
    return row.value;
  }
  throw new TypeError('The row has no number of the name "value"');
}

/** Whether an error of either driver is SQLITE_INTERRUPT. */
export function isInterrupt(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return 'errcode' in error ? error.errcode === 9 : 'code' in error && error.code === 'SQLITE_INTERRUPT';
}
