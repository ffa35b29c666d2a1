import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { betterSqlite3 } from '../../../src/drivers/worker/better-sqlite3.ts';
import type { Connection, Driver, ExecuteHint, Result, Value } from '../../../src/driver.ts';
import type { BindingSource } from '../../../src/drivers/worker/protocol.ts';
import { nodeSqlite, type WorkerOptions } from '../../../src/drivers/worker/node-sqlite.ts';
import { inThisThread } from './in-this-thread.ts';

/** Both bindings, for tests of what must not differ. */
export const BINDINGS: readonly (readonly [string, MakeDriver])[] = [
  ['node:sqlite', nodeSqlite],
  ['better-sqlite3', betterSqlite3],
];

export const BINDING_SOURCES: readonly BindingSource[] = [
  { name: 'node:sqlite' },
  { name: 'better-sqlite3', path: createRequire(import.meta.url).resolve('better-sqlite3') },
];

/** And without the threads, for all that does not need them. */
export const ALL_WAYS: readonly (readonly [string, MakeDriver])[] = [
  ...BINDINGS,
  ['node:sqlite, in this thread', inThisThread({ name: 'node:sqlite' })],
  [
    'better-sqlite3, in this thread',
    inThisThread({ name: 'better-sqlite3', path: createRequire(import.meta.url).resolve('better-sqlite3') }),
  ],
];

export type MakeDriver = (options: WorkerOptions) => Driver;

export const READ: ExecuteHint = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' };
export const ARRAYS: ExecuteHint = { ...READ, rowMode: 'array' };
export const INSERT: ExecuteHint = {
  rowMode: 'object',
  readonly: false,
  returnsRows: false,
  effect: 'insert',
};
export const OTHER: ExecuteHint = { ...INSERT, effect: 'none' };

/** Counts to `most`, which takes a while if that is much. */
export function counting(most: number): string {
  return `WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT ${String(most)}) SELECT count(*) AS n FROM c`;
}

/** The path of a file that does not exist, in a directory that is removed after the test. */
export async function newFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-worker-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }));
  return join(directory, 'app.db');
}

/** A connection that is closed after the test. */
export async function connect(driver: Driver): Promise<Connection> {
  const connection = await driver.open();
  onTestFinished(async () => {
    await connection.close().catch(() => undefined);
  });
  return connection;
}

export async function run(connection: Connection, ...statements: string[]): Promise<void> {
  for (const sql of statements) await connection.execute(sql, [], OTHER);
}

/** The rows of a query, as arrays. */
export async function rowsOf(
  connection: Connection,
  sql: string,
  params: readonly Value[] = [],
): Promise<unknown[]> {
  return (await connection.execute(sql, params, ARRAYS)).rows;
}

export async function read(
  connection: Connection,
  sql: string,
  params: readonly Value[] = [],
): Promise<Result> {
  return await connection.execute(sql, params, READ);
}
