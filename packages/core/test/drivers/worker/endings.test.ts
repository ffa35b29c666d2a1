import { describe, expect, onTestFinished, test } from 'vitest';
import { createPool, type PoolOptions, type SqlitePool } from '../../../src/index.ts';
import { BINDINGS, newFile } from './helpers.ts';

const setup = new URL('./children/setup.ts', import.meta.url);

/** What a call of a pool may reject with when its thread has ended, and then it is certain, or not, that nothing was kept. */
async function codeOf(call: Promise<unknown>): Promise<unknown> {
  return await call.then(
    () => 'none',
    (error: unknown) => (error as { code: unknown }).code,
  );
}

describe.for(BINDINGS)('a thread that ends under a pool on the driver %s', ([, make]) => {
  const open = async (options: Partial<PoolOptions> = {}): Promise<SqlitePool> => {
    const pool = createPool({ driver: make({ filename: await newFile(), setup }), ...options });
    onTestFinished(() => pool.close());
    await pool.script('CREATE TABLE t (n UNIQUE); INSERT INTO t VALUES (0)');
    return pool;
  };
  const rows = async (pool: SqlitePool) => (await pool.all('SELECT n FROM t ORDER BY n')).map(({ n }) => n);

  test('F64 in a read loses it, and the next call works', async () => {
    const pool = await open();
    for (let again = 0; again < 2; again += 1) {
      expect(await codeOf(pool.get('SELECT leave()'))).toBe('CONNECTION_LOST');
      expect(await rows(pool)).toEqual([0]);
    }
  });

  test('F64 in a write leaves its outcome unknown, and the next call works', async () => {
    const pool = await open();
    expect(await codeOf(pool.run('INSERT INTO t VALUES (leave())'))).toBe('OUTCOME_UNKNOWN');
    await pool.run('INSERT INTO t VALUES (1)');
    expect(await rows(pool)).toEqual([0, 1]);
  });

  test('F64 in writes that share a COMMIT lets none hang, and none is there that was reported as failed', async () => {
    const pool = await open();
    const writes = Array.from({ length: 20 }, (_, n) =>
      pool.run(`INSERT INTO t VALUES (${n === 10 ? 'leave()' : '?'})`, n === 10 ? [] : [n + 1]),
    );
    const codes = await Promise.all(writes.map(codeOf));
    expect(['CONNECTION_LOST', 'OUTCOME_UNKNOWN']).toContain(codes[10]);
    const there = await rows(pool);
    for (const [n, code] of codes.entries()) {
      if (code === 'none') expect(there).toContain(n + 1);
      else if (code === 'CONNECTION_LOST') expect(there).not.toContain(n + 1);
      else expect(code).toBe('OUTCOME_UNKNOWN');
    }
  });

  test('F64 in a batch keeps nothing of it', async () => {
    const pool = await open();
    const batch = pool.batch(['INSERT INTO t VALUES (1)', 'INSERT INTO t VALUES (leave())']);
    expect(['CONNECTION_LOST', 'OUTCOME_UNKNOWN']).toContain(await codeOf(batch));
    expect(await rows(pool)).toEqual([0]);
  });

  test('F64 in a transaction keeps nothing of it', async () => {
    const pool = await open();
    const transaction = pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (1)');
      await tx.get('SELECT leave()');
    });
    expect(await codeOf(transaction)).toBe('CONNECTION_LOST');
    expect(await rows(pool)).toEqual([0]);
    await pool.transaction(async (tx) => await tx.run('INSERT INTO t VALUES (2)'));
    expect(await rows(pool)).toEqual([0, 2]);
  });

  test('F64 in a cursor loses it, and the next call works', async () => {
    const pool = await open();
    const reading = (async () => {
      const sql =
        'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT CASE x WHEN 500 THEN leave() ELSE x END FROM c';
      let count = 0;
      for await (const row of pool.iterate(sql)) count += Object.keys(row).length;
      return count;
    })();
    expect(await codeOf(reading)).toBe('CONNECTION_LOST');
    expect(await rows(pool)).toEqual([0]);
  });

  test('F64 in an open fails those that wait for it', async () => {
    const leaves = new URL('./children/leaves.ts', import.meta.url);
    const pool = createPool({ driver: make({ filename: await newFile(), setup: leaves }) });
    onTestFinished(() => pool.close());
    const calls = Array.from({ length: 3 }, () => pool.get('SELECT 1'));
    expect(await Promise.all(calls.map(codeOf))).toEqual(Array(3).fill('OPEN_FAILED'));
  });

  test('F64 lets calls on its other connections reject or be done, and none hang', async () => {
    const pool = await open();
    const calls = Array.from({ length: 30 }, (_, n) => pool.get(n === 15 ? 'SELECT leave()' : 'SELECT 1'));
    for (const code of await Promise.all(calls.map(codeOf)))
      expect(['none', 'CONNECTION_LOST']).toContain(code);
    expect(await rows(pool)).toEqual([0]);
  });
});
