import { expect, test } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { poolOf, temporaryFile } from './helpers.ts';

const SETUP = `
  CREATE TEMP TABLE mine (v);
  INSERT INTO temp.mine VALUES (1), (2);
  CREATE INDEX temp.mine_v ON mine (v);
  CREATE TEMP VIEW seen AS SELECT v FROM mine;
`;

/** Every connection of it has a temporary table, an index and a view of its own. */
async function poolWithTemporary(): Promise<SqlitePool> {
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 1,
    onConnect: async (connection) => {
      await connection.script?.(SETUP);
    },
  });
  await pool.script('CREATE TABLE t (v); INSERT INTO t VALUES (3)');
  return pool;
}

const stateOf = (pool: SqlitePool): Promise<unknown> =>
  pool.connection(async (lease) => [
    await lease.all('SELECT type, name, sql FROM sqlite_temp_schema ORDER BY name'),
    await lease.all('SELECT v FROM mine'),
  ]);

test.for([
  'ANALYZE temp',
  'ANALYZE "temp"',
  'ANALYZE temp.mine',
  'ALTER TABLE temp.mine ADD COLUMN w',
  'ALTER TABLE temp.mine RENAME TO yours',
  'DROP VIEW temp.seen',
  'DROP INDEX temp.mine_v',
  'DROP TABLE temp . mine',
  'INSERT INTO temp.mine VALUES (3)',
  'REPLACE INTO temp.mine SELECT v FROM t',
  'UPDATE [temp].mine SET v = v + 1',
  'DELETE FROM temp.mine WHERE v = 1',
  'WITH c AS (SELECT 4 AS v) INSERT INTO "TEMP".mine SELECT v FROM c',
])('F82 %s leaves nothing behind for the next user', async (sql) => {
  const pool = await poolWithTemporary();
  const before = await stateOf(pool);
  const lease = await pool.acquire();
  await lease.run(sql);
  await lease.release();
  expect(await stateOf(pool)).toEqual(before);
  expect(pool.stats().evictions.dirty).toBe(1);
});

test.for([
  'SELECT v FROM temp.mine',
  'ANALYZE',
  'ANALYZE main',
  'REINDEX',
  'INSERT INTO t SELECT v FROM mine',
])('F82 %s leaves nothing behind that costs its connection', async (sql) => {
  const pool = await poolWithTemporary();
  const before = await stateOf(pool);
  await pool.connection((lease) => lease.execute(sql));
  expect(await stateOf(pool)).toEqual(before);
  expect(pool.stats().evictions.dirty).toBe(0);
});
