import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EnclosingTransaction, runInside } from '../../src/connection/enclosing-transaction.ts';
import { createPool, type PoolOptions, type Queryable, type SqlitePool } from '../../src/index.ts';

async function newPool(options: Partial<PoolOptions> = {}): Promise<SqlitePool> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-itself-'));
  // A call that waits for itself would reject with another code after this.
  const pool = createPool({
    filename: join(folder, 'app.db'),
    acquireTimeoutMs: 5000,
    ...options,
  });
  onTestFinished(async () => {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  });
  await pool.script('CREATE TABLE t (n)');
  return pool;
}

const refused = { code: 'TRANSACTION_ACTIVE' };

describe('in the callback of a transaction, a call on the pool that would wait for this transaction is refused at once', () => {
  const calls: [string, (pool: SqlitePool) => Promise<unknown>][] = [
    ['run', (pool) => pool.run('INSERT INTO t VALUES (1)')],
    ['batch', (pool) => pool.batch(['INSERT INTO t VALUES (1)', 'DELETE FROM t'])],
    ['script', (pool) => pool.script('CREATE TABLE u (n); DROP TABLE u')],
    ['transaction', (pool) => pool.transaction((tx) => tx.run('DELETE FROM t'))],
    ['a write on another lease', (pool) => pool.connection((lease) => lease.run('DELETE FROM t'))],
    [
      'a transaction on another lease',
      (pool) => pool.connection((l) => l.transaction((tx) => tx.run('DELETE FROM t'))),
    ],
    ['a full checkpoint', (pool) => pool.checkpoint({ mode: 'full' })],
  ];

  it.for(calls)('%s', async ([, call]) => {
    const pool = await newPool();
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (0)');
      await expect(call(pool)).rejects.toMatchObject(refused);
    });
    // The transaction itself goes on, and nothing is left locked.
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 0 }]);
    await pool.run('DELETE FROM t');
  });

  it('also on a second pool for the same file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-itself-'));
    const filename = join(folder, 'app.db');
    const [one, two] = [createPool({ filename }), createPool({ filename })];
    onTestFinished(async () => {
      await Promise.all([one.close(), two.close()]);
      await rm(folder, { recursive: true, force: true });
    });
    await one.script('CREATE TABLE t (n)');
    await two.open();
    await one.transaction(async () => {
      await expect(two.run('DELETE FROM t')).rejects.toMatchObject(refused);
    });
  });

  it('also a read, if the transaction has the last connection', async () => {
    const pool = await newPool({ poolSize: 1 });
    await pool.transaction(async (tx) => {
      await expect(pool.get('SELECT 1')).rejects.toMatchObject(refused);
      await expect(pool.acquire()).rejects.toMatchObject(refused);
      expect(await tx.get('SELECT 1 AS n')).toEqual({ n: 1 });
    });
  });

  it('says which call to change, and has no status: to try again does not help', async () => {
    const pool = await newPool();
    await pool.transaction(async () => {
      const error: unknown = await pool.run('DELETE FROM t').catch((reason: unknown) => reason);
      expect(error).toMatchObject({ message: expect.stringContaining('await tx.run(') as string });
      expect(error).not.toHaveProperty('statusCode');
    });
  });
});

describe('in the callback of a transaction', () => {
  it('a read on the pool runs on another connection', async () => {
    const pool = await newPool();
    await pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (1)');
      expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
    });
  });

  it('a write on another database runs', async () => {
    const [pool, other] = await Promise.all([newPool(), newPool()]);
    await pool.transaction(() => other.run('INSERT INTO t VALUES (1)'));
    expect(await other.get('SELECT n FROM t')).toEqual({ n: 1 });
  });

  it('a write of the pool runs while the transaction has not written, if it is deferred', async () => {
    const pool = await newPool();
    await pool.transaction(() => pool.run('INSERT INTO t VALUES (1)'), { mode: 'deferred' });
    expect(await pool.get('SELECT n FROM t')).toEqual({ n: 1 });
  });

  it('callers that began elsewhere wait for it as ever', async () => {
    const pool = await newPool();
    let inside: (() => void) | undefined;
    const began = new Promise<void>((resolve) => (inside = resolve));
    let end: (() => void) | undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    const transaction = pool.transaction(async (tx: Queryable) => {
      await tx.run('INSERT INTO t VALUES (1)');
      inside?.();
      await ended;
    });
    await began;
    const writes = [pool.run('INSERT INTO t VALUES (2)'), pool.run('INSERT INTO t VALUES (3)')];
    end?.();
    await Promise.all([transaction, ...writes]);
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 3 });
  });

  it('a call that outlives it is a call as any other', async () => {
    const pool = await newPool();
    let later: Promise<unknown> | undefined;
    let go: (() => void) | undefined;
    const over = new Promise<void>((resolve) => (go = resolve));
    await pool.transaction(() => {
      later = over.then(() => pool.run('INSERT INTO t VALUES (1)'));
    });
    const held = await pool.acquire();
    await held.run('BEGIN IMMEDIATE');
    go?.();
    await held.run('ROLLBACK');
    await held.release();
    await later;
    expect(await pool.get('SELECT n FROM t')).toEqual({ n: 1 });
  });

  it('a call that is made after it, while the transaction commits, waits for the COMMIT', async () => {
    const pool = await newPool();
    let later: Promise<unknown> | undefined;
    const transaction = pool.transaction(() => {
      // The COMMIT runs on another thread, so it is not done before the microtasks are.
      later = microtasks(50).then(() => pool.run('INSERT INTO t VALUES (1)'));
    });
    await transaction;
    await later;
    expect(await pool.get('SELECT n FROM t')).toEqual({ n: 1 });
  });
});

describe('a transaction that is over', () => {
  it('is not kept in memory by the transactions that were begun in its callback, and in theirs', () => {
    const first = new EnclosingTransaction(undefined);
    const second = runInside(first, () => new EnclosingTransaction(undefined));
    expect(second.outer).toBe(first);
    const third = runInside(second, () => new EnclosingTransaction(undefined));
    first.end();
    expect(third.outer).toBe(second);
    expect(second.outer).toBeUndefined();
    second.end();
    expect(third.outer).toBeUndefined();
    // One that is begun in a callback that is over, by a timer, has none around it.
    expect(runInside(second, () => new EnclosingTransaction(undefined)).outer).toBeUndefined();
  });
});

async function microtasks(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await Promise.resolve();
}
