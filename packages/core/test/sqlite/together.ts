import type { PoolOptions, RunResult, SqlitePool } from '../../src/index.ts';
import { poolOf, temporaryFile } from './helpers.ts';
import { recording } from './recording.ts';

/** What the tests of group commit write to. */
export const TABLES = `
  CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE);
  CREATE TABLE parent (id INTEGER PRIMARY KEY);
  CREATE TABLE strict_child (parent REFERENCES parent);
  CREATE TABLE guarded (v);
  CREATE TRIGGER guard BEFORE INSERT ON guarded WHEN new.v = 'no' BEGIN SELECT RAISE(ROLLBACK, 'guarded'); END;
`;

/** A pool, and writes that are committed together. */
export interface Together {
  readonly pool: SqlitePool;
  readonly filename: string;
  /** What SQLite was given up to now. */
  readonly texts: readonly string[];
  /** Runs writes that all wait for the write lock together; resolves to how each ended, and to what SQLite was given. */
  readonly together: (
    writes: readonly (() => Promise<unknown>)[],
  ) => Promise<{ ends: PromiseSettledResult<unknown>[]; texts: string[] }>;
}

/**
 * Writes for one group; with `groupCommit: false` each of them acquires the write lock alone.
 *
 * @param replaced - What SQLite gets for a text.
 */
export async function group(
  schema: string = TABLES,
  options: Pick<PoolOptions, 'groupCommit' | 'clock'> = {},
  replaced?: (sql: string) => string,
): Promise<Together> {
  const filename = await temporaryFile();
  const { driver, texts } = recording({ filename }, replaced);
  const pool = poolOf({ driver, ...options });
  await pool.script(schema);
  return {
    pool,
    filename,
    texts,
    together: async (writes) => {
      const lease = await pool.acquire();
      await lease.run('BEGIN IMMEDIATE');
      const from = texts.length;
      const ends = Promise.allSettled(writes.map((write) => write()));
      await lease.run('ROLLBACK');
      await lease.release();
      return { ends: await ends, texts: texts.slice(from + 1) };
    },
  };
}

/** A write of a row for each value. */
export const inserts = (pool: SqlitePool, values: readonly unknown[]): (() => Promise<RunResult>)[] =>
  values.map((v) => () => pool.run('INSERT INTO t (v) VALUES (?)', [v as string]));

/** How often SQLite was given a text. */
export const count = (texts: readonly string[], text: string): number =>
  texts.filter((sql) => sql === text).length;
