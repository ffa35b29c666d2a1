import { getEventListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createPool } from '../../src/pool.ts';
import { RequestLease } from '../../src/request/request-lease.ts';
import { LEASE_ENDED, make, whileAnotherWrites, WRITE } from './request-lease-request.ts';

describe('a request lease', () => {
  it('leaves a response alone until its first use', async () => {
    const { db, response } = make();
    const { writeHead } = response;
    expect(response.listenerCount('close')).toBe(0);
    expect(response.writeHead).toBe(writeHead);
    await db.get('SELECT 1');
    expect(response.listenerCount('close')).toBe(1);
    await db.get('SELECT 2');
    expect(response.listenerCount('close')).toBe(1);
  });

  it('makes nothing for a request that never uses it, and still knows that the request has responded', async () => {
    const { another, pool } = make();
    const { observer } = pool;
    const used = vi.fn(() => observer);
    Object.defineProperty(pool, 'observer', { get: used });
    const db = another();
    db.respond();
    expect(used).not.toHaveBeenCalled();
    await db.get('SELECT 1');
    expect(used).toHaveBeenCalled();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('acquires once for statements that start together, and releases once', async () => {
    const { db, pool } = make();
    await Promise.all([db.get('SELECT 1'), db.all('SELECT 2'), db.script('SELECT 3'), db.run('BEGIN')]);
    await db.transaction((tx) => tx.run(WRITE)).catch(() => undefined);
    expect(pool.stats()).toMatchObject({ acquires: 1, leased: 1 });
    await db.run('ROLLBACK');
    db.respond();
    db.respond();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('F13 does not keep a connection whose only read gives up while it waits', async () => {
    const { db, pool } = make({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const controller = new AbortController();
    const read = db.get('SELECT 1', [], { signal: controller.signal });
    controller.abort(new Error('given up'));
    await expect(read).rejects.toThrow('given up');
    await lease.release();
    await pool.get('SELECT 2');
  });

  it('F13 does not keep a connection whose only read gives up while it runs', async () => {
    const { db, pool, driver } = make({}, { poolSize: 1 }, { execute: { 1: 'hang' } });
    const controller = new AbortController();
    const read = db.get('SELECT 1', [], { signal: controller.signal });
    await vi.waitFor(() => expect(driver.count('execute')).toBe(1));
    controller.abort(new Error('given up'));
    await expect(read).rejects.toThrow('given up');
    driver.call('execute').resolve();
    await pool.get('SELECT 2');
  });

  it('keeps the connection for what was called before the response, and no longer', async () => {
    const { db, pool, driver, response } = make({}, {}, { execute: { 1: 'hang' } });
    const first = db.get('SELECT 1');
    const second = db.get('SELECT 2');
    await vi.waitFor(() => expect(driver.count('execute')).toBe(1));
    response.end();
    expect(pool.stats().leased).toBe(1);
    driver.call('execute').resolve();
    await Promise.all([first, second]);
    expect(pool.stats()).toMatchObject({ leased: 0, acquires: 1 });
  });

  it.each([2, 1])(
    'lets a write that was not awaited run when the response begins first, in a pool of %i',
    async (poolSize) => {
      const { db, another, pool, response } = make({}, { poolSize });
      const other = another();
      const writes = [
        db.run(WRITE),
        other.run(WRITE).finally(() => {
          other.respond();
        }),
        db.transaction((tx) => tx.run(WRITE)),
      ];
      response.end();
      // It has its write lock already: asking for another one would be waiting for itself.
      await Promise.all(writes);
      await vi.waitFor(() => expect(pool.stats()).toMatchObject({ writersWaiting: 0, writerHeld: false }));
    },
  );

  it('leases per statement after the response', async () => {
    const { db, pool, response } = make({}, { poolSize: 1 });
    response.end();
    await db.get('SELECT 1');
    expect(pool.stats()).toMatchObject({ acquires: 1, leased: 0 });
    await db.connection(() => expect(pool.stats().leased).toBe(1));
    for await (const row of db.iterate('SELECT 2')) expect([row, pool.stats().leased]).toEqual([row, 1]);
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ acquires: 3, leased: 0 }));
  });

  it.each(['request', 'statement'] as const)(
    'shares the connection of an open cursor with the loop around it, in mode %s',
    async (mode) => {
      const { db, pool, response } = make({ mode }, { poolSize: 1 });
      // With a connection for each, a pool of one would wait for itself.
      response.end();
      let rows = 0;
      for await (const _ of db.iterate('SELECT 1')) {
        await db.run(WRITE);
        await db.transaction((tx) => tx.run(WRITE));
        rows += 1;
      }
      expect(rows).toBe(3);
      await db.connection(() => db.get('SELECT 2'));
      await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, acquires: 2 }));
    },
  );

  it("in mode 'statement' goes on after a transaction that connection() left open, which is rolled back", async () => {
    const { db, driver, pool } = make({ mode: 'statement' });
    await db.connection((connection) => connection.run('BEGIN'));
    await db.get('SELECT 1');
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0 }));
    expect(driver.count('rollback')).toBe(1);
  });

  it('waits once for the write lock, for calls that begin together and need one connection', async () => {
    const { db, another, pool, driver } = make({}, { poolSize: 1 }, { execute: { 1: 'hang' } });
    const first = another();
    const writing = first.run(WRITE);
    await vi.waitFor(() => expect(driver.count('execute')).toBe(1));
    const second = another();
    // If each waited for the lock, the last could hold the connection that the one in between needs.
    const begun = db.run('BEGIN IMMEDIATE');
    const waiting = [second.transaction(() => undefined), db.run(WRITE), db.run('COMMIT')];
    expect(pool.stats().writersWaiting).toBe(2);
    driver.call('execute').resolve();
    await Promise.all([writing, begun, ...waiting]);
    db.respond();
    second.respond();
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, writersWaiting: 0 }));
  });

  it('leases per statement when the head was sent before its first use', async () => {
    const { db, pool, response } = make();
    response.writeHead();
    await db.get('SELECT 1');
    expect(pool.stats()).toMatchObject({ acquires: 1, leased: 0 });
  });

  it('tries again after an acquire that failed', async () => {
    const { db, pool } = make({}, {}, { open: { 1: { reject: new Error('disk') } } });
    const failed = await Promise.allSettled([db.get('SELECT 1'), db.get('SELECT 2')]);
    expect(failed).toMatchObject([{ reason: { code: 'OPEN_FAILED' } }, { reason: { code: 'OPEN_FAILED' } }]);
    await db.get('SELECT 3');
    expect(pool.stats()).toMatchObject({ leased: 1, opens: 1 });
  });

  it('F13 leaves the connection to others of the request when one call gives up waiting', async () => {
    const { db, another, pool } = make({}, { poolSize: 1 });
    const holder = another();
    await holder.get('SELECT 1');
    const controller = new AbortController();
    const cancelled = db.get('SELECT 2', [], { signal: controller.signal });
    const waits = db.get('SELECT 3');
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(cancelled).rejects.toBe(reason);
    holder.respond();
    await waits;
    expect(pool.stats()).toMatchObject({ leased: 1, waiting: 0 });
  });

  it('F13 does not keep a connection that comes when every caller has given up and the response has begun', async () => {
    const { db, another, pool } = make({}, { poolSize: 1 });
    const holder = another();
    await holder.get('SELECT 1');
    const controller = new AbortController();
    const cancelled = db.get('SELECT 2', [], { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(cancelled).rejects.toThrow('enough');
    db.respond();
    holder.respond();
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, waiting: 0 }));
  });

  it('F13 lets an acquire fail that every caller has given up on', async () => {
    const { db, another, pool } = make({}, { poolSize: 1 });
    const holder = another();
    await holder.get('SELECT 1');
    const controller = new AbortController();
    const cancelled = db.get('SELECT 2', [], { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(cancelled).rejects.toThrow('enough');
    db.respond();
    const closed = pool.close();
    holder.respond();
    // A rejection that nobody handles would fail the run.
    await closed;
    await expect(db.get('SELECT 3')).rejects.toMatchObject({ code: 'POOL_CLOSED' });
  });

  it('forgets a cursor and a callback that got no connection', async () => {
    const refuse = { reject: new Error('disk') };
    const { db, pool, response } = make({}, {}, { open: { 1: refuse, 2: refuse } });
    await expect(db.connection(() => undefined)).rejects.toMatchObject({ code: 'OPEN_FAILED' });
    await expect(db.iterate('SELECT 1').next()).rejects.toMatchObject({ code: 'OPEN_FAILED' });
    await db.get('SELECT 2');
    response.end();
    expect(pool.stats()).toMatchObject({ leased: 0, idle: 1 });
  });

  it('holds no connection while it waits for the write lock', async () => {
    const { db, pool } = make({}, { poolSize: 2 });
    const { writing } = await whileAnotherWrites(pool, async () => {
      const writing = db.run(WRITE);
      await new Promise(setImmediate);
      expect(pool.stats()).toMatchObject({ leased: 1, writersWaiting: 1 });
      return { writing };
    });
    await writing;
    expect(pool.stats()).toMatchObject({ leased: 1, writersWaiting: 0 });
  });

  it('says what it takes', async () => {
    const { db, pool } = make();
    // What JavaScript would let pass.
    await expect(db.connection('SELECT 1' as unknown as () => void)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(db.get('SELECT 1', [], { timeoutMs: -1 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(pool.stats().acquires).toBe(0);
  });

  it('is the lease of one pool and one mode', () => {
    const { db, pool } = make();
    const other = make().pool;
    expect([db.isFor(pool, 'request'), db.isFor(pool, 'statement'), db.isFor(other, 'request')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('a transaction that a request began by hand', () => {
  it('is rolled back by the response, and what follows is refused instead of committed alone', async () => {
    const { db, driver, pool, response } = make();
    await db.run('BEGIN');
    await db.run(WRITE);
    response.end();
    // In the same tick, too.
    await expect(db.run(WRITE)).rejects.toMatchObject(LEASE_ENDED);
    await expect(db.run('COMMIT')).rejects.toThrow(/rolled back.*transaction\(\)/);
    await vi.waitFor(() => expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false }));
    expect(driver.calls.filter(({ sql }) => sql === WRITE)).toHaveLength(1);
    expect(driver.count('rollback')).toBe(1);
  });

  it('does nothing to what follows when it was committed before the response', async () => {
    const { db, pool, response } = make();
    await db.script('BEGIN; COMMIT');
    await db.run('SAVEPOINT a');
    await db.run('RELEASE a');
    response.end();
    await db.run(WRITE);
    expect(pool.stats().leased).toBe(0);
  });
});

describe('a request lease on SQLite itself', () => {
  it('F14 leaves no listener behind on a signal that outlives it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
    const pool = createPool({ filename: join(directory, 'app.db'), poolSize: 1 });
    onTestFinished(async () => {
      await pool.close();
      await rm(directory, { recursive: true });
    });
    const { signal } = new AbortController();
    for (let request = 0; request < 100; request += 1) {
      const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1, method: 'GET' });
      await Promise.all([db.get('SELECT 1', [], { signal }), db.all('SELECT 2', [], { signal })]);
      db.respond();
    }
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('gives its connection to a waiter while it does not use it, and takes one again', async () => {
    const { db, another, pool } = make({}, { poolSize: 1, acquireTimeoutMs: 200 });
    await db.get('SELECT 1');
    expect(pool.stats().leased).toBe(1);
    await another().get('SELECT 2');
    await pool.get('SELECT 3');
    await db.get('SELECT 4');
    expect(pool.stats()).toMatchObject({ opens: 1, acquireTimeouts: 0 });
  });

  it('releases it as soon as it does not use it, when another caller waits already', async () => {
    const { db, pool } = make({}, { poolSize: 1, acquireTimeoutMs: 200 });
    await Promise.all([db.get('SELECT 1'), pool.get('SELECT 2'), db.get('SELECT 3')]);
    expect(pool.stats().acquireTimeouts).toBe(0);
  });

  it.each([
    ['a transaction that was begun by hand', 'BEGIN'],
    ['a temporary table', 'CREATE TEMP TABLE t (x)'],
  ])('keeps its connection as long as there is %s on it', async (_what, sql) => {
    const { db, pool } = make({}, { poolSize: 1, acquireTimeoutMs: 20 });
    await db.run(sql);
    await expect(pool.get('SELECT 2')).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
    expect(pool.stats().leased).toBe(1);
  });
});
