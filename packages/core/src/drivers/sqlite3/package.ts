import type { Row, Value } from '../../driver.ts';

/** The callback of the package. */
export type Callback<T = void> = (error: Error | null, value?: T) => void;

/** The part of the sqlite3 package that this driver uses, so that it does not need the types of the package. */
export interface Sqlite3Database {
  prepare(sql: string, callback: Callback): Sqlite3Statement;
  exec(sql: string, callback: Callback): unknown;
  interrupt(): void;
  configure(option: 'busyTimeout', milliseconds: number): void;
  configure(option: 'limit', id: number, value: number): void;
  close(callback: Callback): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A prepared statement of the sqlite3 package. */
export interface Sqlite3Statement {
  all(params: readonly Value[], callback: (this: unknown, error: Error | null, rows: Row[]) => void): unknown;
  run(
    params: readonly Value[],
    callback: (this: { changes: number; lastID: number }, error: Error | null) => void,
  ): unknown;
  get(params: readonly Value[], callback: (this: unknown, error: Error | null, row?: Row) => void): unknown;
  /** Only in the fork @appthreat/sqlite3, from version 9 on. The values come before the callback. */
  fetch?(count: number, ...rest: readonly unknown[]): unknown;
  finalize(callback?: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/**
 * Steps to the next row. Without values, `get` continues where it was. In the fork that has `fetch`, only `fetch` does,
 * and `get` starts the statement again.
 */
export function step(statement: Sqlite3Statement, values: readonly Value[], callback: Callback<Row>): void {
  if (statement.fetch === undefined) statement.get(values, callback);
  else {
    const answer: Callback<Row[]> = (error, rows) => {
      callback(error, rows?.[0]);
    };
    statement.fetch(1, ...(values.length > 0 ? [values] : []), answer);
  }
}
