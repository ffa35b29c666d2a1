import { createHook } from 'node:async_hooks';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { EnclosingCallback, promisesAreWatched, runInside } from '../../src/connection/enclosing-callback.ts';
import { RequestLease, RequestTransaction } from '../../src/plugin.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { outsideCalls } from '../../src/waiting/deadline.ts';
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

describe('a call that is already waiting is refused as soon as the transaction in whose callback it is made has the lock', () => {
  /** A transaction that reads first, while another caller holds the write lock. */
  async function deferred(
    pool: SqlitePool,
    callback: (tx: Queryable, free: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const writer = await pool.acquire();
    await writer.run('BEGIN IMMEDIATE');
    const free = async (): Promise<void> => {
      await writer.run('ROLLBACK');
      await writer.release();
    };
    await pool.transaction((tx) => callback(tx, free), { mode: 'deferred' });
  }

  it('a write that waits behind that of the transaction', async () => {
    const pool = await newPool();
    await deferred(pool, async (tx, free) => {
      const own = tx.run('INSERT INTO t VALUES (1)');
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      const others = [
        pool.run('INSERT INTO t VALUES (2)'),
        pool.transaction((other) => other.run('DELETE FROM t')),
      ];
      const settled = Promise.allSettled(others);
      await free();
      await own;
      expect(await settled).toMatchObject(others.map(() => ({ status: 'rejected', reason: refused })));
    });
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 1 }]);
    expect(pool.stats()).toMatchObject({ writersWaiting: 0, writerHeld: false });
  });

  it('a write that waits for a permit, and that the transaction overtakes', async () => {
    const pool = await newPool({ groupCommit: false, poolSize: 3 });
    await deferred(pool, async (tx, free) => {
      const permits = await Promise.all([pool.acquireWriter({}), pool.acquireWriter({})]);
      const inside = expect(pool.run('INSERT INTO t VALUES (2)')).rejects.toMatchObject(refused);
      await free();
      await tx.run('INSERT INTO t VALUES (1)');
      await inside;
      for (const release of permits) release();
    });
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 1 }]);
  });

  it('a write that waits before the transaction of its request has begun', async () => {
    const pool = await newPool();
    const writer = await pool.acquire();
    await writer.run('BEGIN IMMEDIATE');
    const facts = { mode: 'request', disconnectGraceMs: 1000, method: 'POST' } as const;
    const db = new RequestTransaction(new RequestLease(pool, facts));
    await db.around(async () => {
      const own = db.run('INSERT INTO t VALUES (1)');
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      const inside = expect(pool.run('INSERT INTO t VALUES (2)')).rejects.toMatchObject(refused);
      await writer.run('ROLLBACK');
      await writer.release();
      await own;
      await inside;
    });
    await db.settle(200);
    db.lease.respond();
    expect(await pool.all('SELECT n FROM t')).toEqual([{ n: 1 }]);
  });

  it('but not a write that gets the lock before the transaction does', async () => {
    const pool = await newPool();
    await deferred(pool, async (tx, free) => {
      const other = pool.run('INSERT INTO t VALUES (2)');
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      const own = tx.run('INSERT INTO t VALUES (1)');
      await free();
      await Promise.all([other, own]);
    });
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 2 });
  });

  it('but not writes that were made elsewhere, of the same group', async () => {
    const pool = await newPool();
    const elsewhere: Promise<unknown>[] = [];
    await deferred(pool, async (tx, free) => {
      const own = tx.run('INSERT INTO t VALUES (1)');
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      const inside = expect(pool.run('INSERT INTO t VALUES (2)')).rejects.toMatchObject(refused);
      outsideCalls(() => elsewhere.push(pool.run('INSERT INTO t VALUES (3)')));
      await free();
      await own;
      await inside;
    });
    await Promise.all(elsewhere);
    expect(await pool.all('SELECT n FROM t ORDER BY n')).toEqual([{ n: 1 }, { n: 3 }]);
  });
});

describe('in the callback of connection()', () => {
  it('a call is refused at once that waits for a connection while the callback has the last one', async () => {
    const pool = await newPool({ poolSize: 1 });
    await pool.connection(async (lease) => {
      for (const call of [
        pool.get('SELECT 1'),
        pool.run('DELETE FROM t'),
        pool.acquire(),
        pool.transaction(() => 1),
        pool.connection(() => 1),
      ])
        await expect(call).rejects.toMatchObject({
          ...refused,
          message: expect.stringContaining('await lease.get(') as string,
        });
      expect(await lease.get('SELECT 1 AS n')).toEqual({ n: 1 });
    });
    expect(pool.stats()).toMatchObject({ leased: 0, waiting: 0, writersWaiting: 0 });
  });

  it('so is one that would wait to share a COMMIT, or for a permit', async () => {
    const pool = await newPool({ poolSize: 1 });
    const release = await pool.acquireWriter({});
    await pool.connection(async () => {
      await expect(pool.run('DELETE FROM t')).rejects.toMatchObject(refused);
      await expect(pool.batch(['DELETE FROM t'])).rejects.toMatchObject(refused);
    });
    release();
  });

  it('so is one in the innermost of several callbacks that have all connections together', async () => {
    const pool = await newPool({ poolSize: 2 });
    await pool.connection(() =>
      pool.transaction(async (tx) => {
        await expect(pool.get('SELECT 1')).rejects.toMatchObject(refused);
        await tx.run('INSERT INTO t VALUES (1)');
      }),
    );
    // A transaction on the connection of the callback holds no second one.
    await pool.connection((lease) =>
      lease.transaction(async () => {
        expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
      }),
    );
  });

  it('and the connection of a request is one too', async () => {
    const pool = await newPool({ poolSize: 1 });
    const request = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'GET' });
    await request.connection(async () => {
      await expect(pool.get('SELECT 1')).rejects.toMatchObject(refused);
    });
    request.respond();
  });

  it('a call waits if another caller holds a connection, because that one may release it', async () => {
    const pool = await newPool({ poolSize: 2 });
    const other = await pool.acquire();
    await pool.connection(async () => {
      const read = pool.get('SELECT 1 AS n');
      expect(pool.stats().waiting).toBe(1);
      await other.release();
      expect(await read).toEqual({ n: 1 });
    });
  });

  it('a call waits if the callback has released its connection, and another caller has it', async () => {
    const pool = await newPool({ poolSize: 1 });
    await pool.connection(async (lease) => {
      const next = outsideCalls(() => pool.acquire());
      await lease.release();
      const other = await next;
      const read = pool.get('SELECT 1 AS n');
      expect(pool.stats().waiting).toBe(1);
      await other.release();
      expect(await read).toEqual({ n: 1 });
    });
  });

  it('a write waits for a transaction on the connection, because other code of the callback may end it', async () => {
    const pool = await newPool();
    await pool.connection(async (lease) => {
      await lease.run('BEGIN IMMEDIATE');
      await Promise.all([
        pool.run('INSERT INTO t VALUES (1)'),
        pool.transaction((tx) => tx.run('INSERT INTO t VALUES (2)')),
        lease.run('COMMIT'),
      ]);
      await Promise.all([
        lease.transaction((tx) => tx.run('INSERT INTO t VALUES (3)')),
        pool.run('INSERT INTO t VALUES (4)'),
      ]);
    });
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 4 });
  });

  it('a write that has waited in vain until its deadline says which call to change, and that to try again does not help', async () => {
    const clock = fakeClock();
    const pool = await newPool({ clock, acquireTimeoutMs: 50 });
    await pool.connection(async (lease) => {
      await lease.run('BEGIN IMMEDIATE');
      // They wait in a group, for the write lock, and for a permit.
      const calls = [
        pool.run('DELETE FROM t'),
        pool.connection((other) => other.run('DELETE FROM t')),
        ...Array.from({ length: 3 }, () => pool.transaction((tx) => tx.run('DELETE FROM t'))),
      ];
      const outcomes = Promise.allSettled(calls);
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(5));
      // A permit that becomes free at the deadline lets another one wait for the lock, with a deadline of its own.
      for (const _ of calls) await clock.advance(50);
      for (const outcome of await outcomes)
        expect(outcome).toMatchObject({
          status: 'rejected',
          reason: {
            ...refused,
            message: expect.stringContaining('await lease.run(') as string,
            cause: { code: 'ACQUIRE_TIMEOUT' },
          },
        });
      await lease.run('COMMIT');
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
    const first = new EnclosingCallback('transaction', undefined);
    const second = runInside(first, () => new EnclosingCallback('transaction', undefined));
    expect(second.outer).toBe(first);
    const third = runInside(second, () => new EnclosingCallback('transaction', undefined));
    first.end();
    expect(third.outer).toBe(second);
    expect(second.outer).toBeUndefined();
    second.end();
    expect(third.outer).toBeUndefined();
    // One that is begun in a callback that is over, by a timer, has none around it.
    expect(runInside(second, () => new EnclosingCallback('transaction', undefined)).outer).toBeUndefined();
  });
});

describe('on Node.js 22, where a store would make Node.js watch each promise', () => {
  it('the pool sees whether Node.js watches them already', () => {
    expect(promisesAreWatched()).toBe(false);
    const hook = createHook({ init: () => undefined }).enable();
    onTestFinished(() => void hook.disable());
    expect(promisesAreWatched()).toBe(true);
  });
});

async function microtasks(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await Promise.resolve();
}
