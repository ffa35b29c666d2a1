import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection, Driver, ExecuteHint, Value } from '../../driver.ts';
import { fromDriver } from '../../driver-errors.ts';
import { BusyError, SqliteError } from '../../errors.ts';

/**
 * Makes the driver under test for a database file. The file does not exist yet.
 *
 * @example const openDriver: OpenDriver = (filename) => sqlite3({ filename });
 */
export type OpenDriver = (filename: string) => Driver | Promise<Driver>;

/** Hints as the pool passes them to a driver. */
export const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
export const INSERT: ExecuteHint = {
  rowMode: 'object',
  readonly: false,
  returnsRows: false,
  effect: 'insert',
};
export const CHANGE: ExecuteHint = { ...INSERT, effect: 'change' };
export const RETURNING: ExecuteHint = { ...INSERT, returnsRows: true };
export const OTHER: ExecuteHint = { ...INSERT, effect: 'none' };

/** Counts for ever: only an interrupt ends it. */
export const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)';

/** A deadline in milliseconds, far longer than any call of a case takes. */
const TOO_LONG_MS = 10_000;

/** A directory of its own for each case, and connections that are closed after it. */
export interface Bench {
  readonly directory: string;
  readonly driver: Driver;
  readonly connection: Connection;
  readonly connect: (driver?: Driver) => Promise<Connection>;
}

export async function onBench(openDriver: OpenDriver, use: (bench: Bench) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-driver-'));
  const connections: Connection[] = [];
  try {
    const driver = await openDriver(join(directory, 'app.db'));
    const connect = async (other: Driver = driver): Promise<Connection> => {
      const connection = await inTime(other.open());
      connections.push(connection);
      return connection;
    };
    await use({ directory, driver, connection: await connect(), connect });
  } finally {
    for (const connection of connections) await Promise.allSettled([connection.close()]);
    await rm(directory, { recursive: true, force: true });
  }
}

/** Adds a deadline to a call: a call that hangs must fail its case, and not stop the run. */
export async function inTime<T>(call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new assert.AssertionError({ message: `The call has not settled after ${String(TOO_LONG_MS)} ms.` }),
      );
    }, TOO_LONG_MS);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The code of a failure. The failure must be a rejection: a driver that throws breaks the contract. */
export async function failure(call: () => Promise<unknown>): Promise<string> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    assert.fail(`It threw instead of rejecting: ${String(error)}`);
  }
  const error = await inTime(promise).then(
    () => assert.fail('It resolved, although it had to fail.'),
    (reason: unknown) => reason,
  );
  if (error instanceof assert.AssertionError) throw error;
  const known = fromDriver(error);
  return known instanceof SqliteError || known instanceof BusyError ? known.sqliteCode : known.code;
}

export async function scalar(
  connection: Connection,
  sql: string,
  params: readonly Value[] = [],
): Promise<unknown> {
  const { rows } = await inTime(connection.execute(sql, params, READ));
  return Object.values(rows[0] ?? {})[0];
}

export async function run(connection: Connection, ...statements: string[]): Promise<void> {
  for (const sql of statements) await inTime(connection.execute(sql, [], OTHER));
}

/**
 * One property of a driver that the pool relies on.
 *
 * @example const [first]: readonly DriverCase[] = driverCases;
 */
export interface DriverCase {
  /** What the driver must do, as a sentence. */
  readonly title: string;
  /** The case is for drivers with this {@link Driver.locks}, and passes on any other. Without it, the case is for all drivers. */
  readonly locks?: 'file' | 'server';
  /** Rejects with an `AssertionError` if the driver does not do it. A case for an ability that the driver lacks passes. */
  run(openDriver: OpenDriver): Promise<void>;
}

/** Makes cases. Each one has a bench of its own. */
export function cases(
  list: Readonly<Record<string, (bench: Bench) => Promise<void>>>,
  locks?: 'file' | 'server',
): DriverCase[] {
  return Object.entries(list).map(([title, use]) => ({
    title,
    ...(locks !== undefined && { locks }),
    run: (openDriver) =>
      onBench(openDriver, async (bench) => {
        if (locks === undefined || (bench.driver.locks ?? 'file') === locks) await use(bench);
      }),
  }));
}
