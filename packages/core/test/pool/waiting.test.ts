import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { AcquireTimeoutError, PoolOverloadedError, type Lease } from '../../src/index.ts';
import { errorOf, fakePool, follow } from './support.ts';

describe('an acquire that waits', () => {
  it('F10 with 1000 others on a cold pool opens as many connections as there are places, and is served in order', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 10 });
    const order: number[] = [];
    await Promise.all(
      Array.from({ length: 1000 }, async (_, at) => {
        await using lease = await pool.acquire();
        order.push(at);
        expect(pool.stats().size).toBeLessThanOrEqual(10);
        await lease.get('SELECT 1');
      }),
    );
    expect(driver.count('open')).toBe(10);
    expect(order).toEqual(Array.from({ length: 1000 }, (_, at) => at));
    expect(driver.violations).toEqual([]);
  });

  it('F10 with few others opens no more connections than they need', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 10 });
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]);
    expect(driver.count('open')).toBe(3);
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]);
    expect(driver.count('open')).toBe(3);
  });

  it('F11 rejects once at its timeout, leaves the queue, and the next one gets the connection', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const first = follow(pool.acquire({ timeoutMs: 100 }));
    const second = follow(pool.acquire({ timeoutMs: 500 }));
    await clock.advance(99);
    expect(first.now.state).toBe('pending');
    await clock.advance(1);
    expect(errorOf(first)).toBeInstanceOf(AcquireTimeoutError);
    expect(pool.stats()).toMatchObject({ waiting: 1, acquireTimeouts: 1 });
    await lease.release();
    await clock.settle();
    expect(second.now.state).toBe('resolved');
    expect(clock.pendingForeground).toBe(0);
  });

  it('F12 a timeout before a release in the same tick rejects, and the connection goes to the next', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const first = follow(pool.acquire({ timeoutMs: 100 }));
    const second = follow(pool.acquire({ timeoutMs: 200 }));
    clock.jump(100);
    void lease.release();
    await clock.settle();
    expect(first.now.state).toBe('rejected');
    expect(second.now.state).toBe('resolved');
    expect(pool.stats()).toMatchObject({ leased: 1, idle: 0, waiting: 0 });
  });

  it('F12 a release before a timeout in the same tick serves, and nothing comes of the timeout', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const first = follow(pool.acquire({ timeoutMs: 100 }));
    void lease.release();
    clock.jump(100);
    await clock.settle();
    expect(first.now.state).toBe('resolved');
    expect(pool.stats()).toMatchObject({ leased: 1, waiting: 0, acquireTimeouts: 0 });
  });

  it('F12 an open that succeeds in the tick of the timeout is kept for the next', async () => {
    const { pool, driver, clock } = fakePool({ open: { 1: 'hang' } }, { poolSize: 1 });
    const first = follow(pool.acquire({ timeoutMs: 100 }));
    await clock.settle();
    driver.call('open').resolve();
    clock.jump(100);
    await clock.settle();
    expect(first.now.state).toBe('rejected');
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0 });
    await expect(pool.acquire()).resolves.toBeDefined();
    expect(driver.count('open')).toBe(1);
  });

  it('F13 aborted before it is made rejects with the reason and takes no place', async () => {
    const { pool, driver } = fakePool();
    const reason = new Error('gone');
    await expect(pool.acquire({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(driver.count('open')).toBe(0);
    expect(pool.stats()).toMatchObject({ size: 0, waiting: 0 });
  });

  it('F13 aborted while it waits, or while its connection opens, rejects with the reason and takes nothing along', async () => {
    const { pool, driver, clock } = fakePool({ open: { 1: 'hang' } }, { poolSize: 1 });
    const controller = new AbortController();
    const opening = follow(pool.acquire({ signal: controller.signal }));
    const waiting = follow(pool.acquire({ signal: controller.signal }));
    await clock.settle();
    controller.abort('any value');
    await clock.settle();
    expect([opening.now, waiting.now]).toEqual([
      { state: 'rejected', error: 'any value' },
      { state: 'rejected', error: 'any value' },
    ]);
    driver.call('open').resolve();
    await clock.settle();
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, waiting: 0 });
  });

  it('F13 aborted after it was served keeps its lease', async () => {
    const { pool } = fakePool();
    const controller = new AbortController();
    const lease = await pool.acquire({ signal: controller.signal });
    controller.abort();
    await expect(lease.get('SELECT 1')).resolves.toBeUndefined();
    expect(pool.stats().leased).toBe(1);
  });

  it('F13 aborted in the tick in which it was served loses neither the lease nor the connection', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const controller = new AbortController();
    const lease = await pool.acquire();
    const next = follow<Lease>(pool.acquire({ signal: controller.signal }));
    void lease.release();
    controller.abort();
    await clock.settle();
    expect(next.now.state).toBe('resolved');
    if (next.now.state === 'resolved') await next.now.value.release();
    expect(pool.stats()).toMatchObject({ idle: 1, leased: 0 });
  });

  it('F14 leaves no listener on a signal that 100 000 acquires share', async () => {
    const { pool } = fakePool({}, { poolSize: 2 });
    const { signal } = new AbortController();
    const one = async (): Promise<void> => (await pool.acquire({ signal })).release();
    let most = 0;
    for (let round = 0; round < 10_000; round += 1) {
      const all = Array.from({ length: 10 }, one);
      most = Math.max(most, getEventListeners(signal, 'abort').length);
      await Promise.all(all);
    }
    expect(most).toBeLessThanOrEqual(10);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('F15 beyond maxWaiting is refused at once, and nobody else is', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 2, maxWaiting: 3 });
    const served = await Promise.all([pool.acquire(), pool.acquire()]);
    const queued = Array.from({ length: 3 }, () => follow(pool.acquire()));
    const refused = Array.from({ length: 1000 }, () => follow(pool.acquire()));
    await clock.settle();
    expect(
      refused.every(({ now }) => now.state === 'rejected' && now.error instanceof PoolOverloadedError),
    ).toBe(true);
    expect(queued.every(({ now }) => now.state === 'pending')).toBe(true);
    expect(pool.stats().waiting).toBe(3);
    await Promise.all(served.map((lease) => lease.release()));
    await clock.settle();
    expect(queued.filter(({ now }) => now.state === 'resolved')).toHaveLength(2);
  });

  it('F15 counts only those for whom there is no connection: a pool that may queue nobody still opens all it may', async () => {
    const { pool } = fakePool({}, { poolSize: 3, maxWaiting: 0 });
    const ends = await Promise.allSettled(Array.from({ length: 5 }, () => pool.acquire()));
    expect(ends.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ]);
  });

  it('F66 behind readers that never stop is served in order', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 2 });
    const readers = 50;
    let reads = 0;
    let written = false;
    const flood = Array.from({ length: readers }, async () => {
      // A reader comes back at once, so the queue is never empty.
      while (!written) {
        await pool.get('SELECT 1');
        reads += 1;
        if (reads > 10_000) throw new Error('the write is starved');
      }
    });
    await pool.run('INSERT INTO t VALUES (1)');
    written = true;
    const readsBeforeWrite = reads;
    await Promise.all(flood);
    // Those that were in the queue before it, those that had a connection, and some that end in the same tick.
    expect(readsBeforeWrite).toBeLessThanOrEqual(2 * readers);
    expect(driver.violations).toEqual([]);
  });

  it('F66 to write does not keep readers from their connections', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { poolSize: 4 });
    const writes = Array.from({ length: 20 }, () => pool.run('INSERT INTO t VALUES (1)'));
    await clock.settle();
    expect(pool.stats()).toMatchObject({ leased: 2, writerHeld: true });
    await expect(
      Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]),
    ).resolves.toBeDefined();
    driver.call('execute').resolve();
    await Promise.all(writes);
    expect(driver.violations).toEqual([]);
  });
});
