import { expect, test } from 'vitest';
import type { Connection, SqlitePool } from '../../src/index.ts';
import { poolOf, temporaryFile } from './helpers.ts';

interface Handle {
  close(callback: (error: Error | null) => void): void;
}

/** A pool, and what closes the handles of its connections behind its back. */
async function poolWithHandles(): Promise<{ pool: SqlitePool; closeAll: () => Promise<void> }> {
  const connections: Connection[] = [];
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 2,
    // Otherwise SQLite refuses the close, because there are statements.
    statementCacheSize: 0,
    onConnect: (connection) => void connections.push(connection),
  });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  const closeAll = async (): Promise<void> => {
    for (const { raw } of connections.splice(0)) {
      await new Promise<void>((done, fail) => {
        (raw as Handle).close((error) => {
          if (error === null) done();
          else fail(error);
        });
      });
    }
  };
  return { pool, closeAll };
}

test.for<[what: string, use: (pool: SqlitePool) => Promise<unknown>]>([
  ['a query', (pool) => pool.get('SELECT 1')],
  ['a write', (pool) => pool.run('INSERT INTO t (v) VALUES (1)')],
  ['a script', (pool) => pool.script('INSERT INTO t (v) VALUES (1)')],
  ['a transaction', (pool) => pool.transaction((tx) => tx.get('SELECT 1'))],
  ['a lease', (pool) => pool.connection((lease) => lease.all('SELECT * FROM t'))],
  [
    'a loop',
    async (pool) => {
      for await (const row of pool.iterate('SELECT 1')) expect(row).toBeDefined();
    },
  ],
])('F77 a handle that was closed behind the pool fails %s once, and is replaced', async ([, use]) => {
  const { pool, closeAll } = await poolWithHandles();
  await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
  const before = pool.stats().opens;
  await closeAll();
  let failed = 0;
  for (let n = 0; n < 200; n += 1) await use(pool).catch(() => (failed += 1));
  expect(failed).toBeGreaterThanOrEqual(1);
  expect(failed).toBeLessThanOrEqual(before);
  expect(pool.stats()).toMatchObject({ opens: before + failed, leased: 0, waiting: 0, writerHeld: false });
});
