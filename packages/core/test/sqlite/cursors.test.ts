import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { failure, poolWithTable } from './helpers.ts';

async function poolWithRows(rows: number, poolSize: number): Promise<SqlitePool> {
  const pool = await poolWithTable({ poolSize });
  await pool.run(
    'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO t (v) SELECT i FROM n',
    [rows],
  );
  return pool;
}

test('a loop over rows sees each once, in order, whatever parameters it has', async () => {
  const pool = await poolWithRows(1000, 1);
  const seen: unknown[] = [];
  for await (const row of pool.iterate<{ v: number }>('SELECT v FROM t WHERE v > :from ORDER BY v', {
    from: 10,
  }))
    seen.push(row.v);
  expect(seen).toEqual(Array.from({ length: 990 }, (_, n) => n + 11));
  for await (const row of pool.iterate('SELECT v FROM t WHERE 0')) expect(row).toBeUndefined();
});

test.for(['break', 'throw'])(
  'a loop that ends early by %s releases its connection, and holds no checkpoint',
  async (how) => {
    const pool = await poolWithRows(10, 1);
    const loop = async (): Promise<void> => {
      for await (const row of pool.iterate('SELECT v FROM t')) {
        expect(row).toEqual({ v: 1 });
        if (how === 'break') break;
        throw new Error('in the loop');
      }
    };
    if (how === 'break') await loop();
    else expect(await failure(loop())).toMatchObject({ message: 'in the loop' });
    await pool.run('INSERT INTO t (v) VALUES (11)');
    expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
    expect(pool.stats()).toMatchObject({ opens: 1, leased: 0 });
  },
);

test('a loop that writes row by row through the connection it reads from sees every row', async () => {
  const pool = await poolWithRows(20, 1);
  await pool.connection(async (lease) => {
    for await (const row of lease.iterate<{ id: number; v: number }>('SELECT id, v FROM t WHERE v > 0')) {
      await lease.transaction((tx) => tx.run('UPDATE t SET v = ? WHERE id = ?', [-row.v, row.id]));
    }
  });
  expect(await pool.get('SELECT count(*) AS n FROM t WHERE v < 0')).toEqual({ n: 20 });
});

test('an abort between two steps ends the loop with its reason and releases the connection', async () => {
  const pool = await poolWithRows(10, 1);
  const controller = new AbortController();
  const rows = pool.iterate('SELECT v FROM t', [], { signal: controller.signal });
  expect(await rows.next()).toMatchObject({ value: { v: 1 } });
  const reason = new Error('enough');
  controller.abort(reason);
  expect(await failure(rows.next())).toBe(reason);
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  expect(pool.stats().leased).toBe(0);
});

test('F20 an iterator that was dropped in the middle is reclaimed when it is collected', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const pool = await poolWithRows(10, 1);
  await dropIterator(pool);
  expect(pool.stats().leased).toBe(1);
  await vi.waitFor(
    () => {
      collect();
      expect(pool.stats()).toMatchObject({ leased: 0, leaks: 1 });
    },
    { timeout: 10_000 },
  );
  await pool.run('INSERT INTO t (v) VALUES (11)');
  expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
});

async function dropIterator(pool: SqlitePool): Promise<void> {
  await pool.iterate('SELECT v FROM t').next();
}
