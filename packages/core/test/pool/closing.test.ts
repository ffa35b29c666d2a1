import { describe, expect, it } from 'vitest';
import { LeaseEndedError, PoolClosedError, type Queryable } from '../../src/index.ts';
import { RequestLease } from '../../src/plugin.ts';
import type { FakeCall } from '../../src/testing/index.ts';
import { byHand, errorOf, fakePool, follow } from './support.ts';

const LIMITS = { operationTimeoutMs: 1000, closeTimeoutMs: 5000 };

describe('closing the pool', () => {
  it('F48 rejects the waiters at once, and closes each leased connection when it is released', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 2 });
    const lease = await pool.acquire();
    const running = follow(pool.get('SELECT slow'));
    await clock.settle();
    const waiting = [follow(pool.acquire()), follow(pool.get('SELECT 1')), follow(pool.run('DELETE FROM t'))];
    const closed = follow(pool.close());
    await clock.settle();
    expect(waiting.map((wait) => errorOf(wait) instanceof PoolClosedError)).toEqual([true, true, true]);
    expect(closed.now.state).toBe('pending');
    await expect(lease.get('SELECT 2')).resolves.toBeUndefined();
    await lease.release();
    await clock.settle();
    expect(closed.now.state).toBe('pending');
    driver.call('execute', 1).resolve();
    await clock.settle();
    expect(running.now.state).toBe('resolved');
    expect(closed.now.state).toBe('resolved');
    expect(driver.openConnections).toBe(0);
    expect(driver.violations).toEqual([]);
  });

  it('F48 interrupts and revokes at closeTimeoutMs what has not come back', async () => {
    const slow = ({ sql }: FakeCall) =>
      sql.startsWith('SELECT slow') ? ('interruptible' as const) : undefined;
    const { pool, driver, clock } = fakePool(slow, { ...LIMITS, poolSize: 3 });
    const forgotten = await pool.acquire();
    const running = follow(pool.get('SELECT slow'));
    const leased = await pool.acquire();
    const held = follow(leased.get('SELECT slow'));
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(LIMITS.closeTimeoutMs - 1);
    expect(closed.now.state).toBe('pending');
    await clock.advance(1);
    expect(closed.now.state).toBe('resolved');
    expect(errorOf(running)).toBeInstanceOf(PoolClosedError);
    expect(errorOf(held)).toBeInstanceOf(PoolClosedError);
    await expect(forgotten.get('SELECT 1')).rejects.toBeInstanceOf(LeaseEndedError);
    expect(driver.openConnections).toBe(0);
    expect(driver.violations).toEqual([]);
  });

  it('F48 gives up what no interrupt ends, within 100 ms of the deadline', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 2 });
    const running = follow(pool.get('SELECT slow'));
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(LIMITS.closeTimeoutMs + 100);
    expect(closed.now.state).toBe('resolved');
    expect(errorOf(running)).toBeInstanceOf(PoolClosedError);
    expect(pool.stats()).toMatchObject({ quarantined: 1, size: 0 });
    driver.call('execute', 1).resolve();
    await clock.settle();
    expect(driver.openConnections).toBe(0);
    expect(driver.violations).toEqual([]);
  });

  it('F48 ends a transaction whose callback never ends: it is rolled back, and its handle is dead', async () => {
    const { pool, driver, clock } = fakePool({}, { ...LIMITS, poolSize: 2 });
    const { promise, resolve } = byHand();
    let handle: Queryable | undefined;
    const transaction = follow(
      pool.transaction(async (tx) => {
        handle = tx;
        await tx.run('INSERT INTO t VALUES (1)');
        await promise;
        await tx.run('INSERT INTO t VALUES (2)');
      }),
    );
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(LIMITS.closeTimeoutMs + 100);
    expect(closed.now.state).toBe('resolved');
    expect(driver.openTransactions).toBe(0);
    resolve();
    await clock.settle();
    expect(transaction.now.state).toBe('rejected');
    await expect(handle!.get('SELECT 1')).rejects.toBeInstanceOf(Error);
    expect(driver.calls.filter(({ sql }) => sql.startsWith('INSERT'))).toHaveLength(1);
    expect(driver.calls.some(({ sql }) => sql === 'COMMIT')).toBe(false);
    expect(driver.violations).toEqual([]);
  });

  it('F48 F60 rejects a write that waits for the lock at a file that another pool writes, and it is never done', async () => {
    const databaseId = 'shared by two pools';
    const { pool, driver, clock } = fakePool({}, { ...LIMITS, poolSize: 3 }, { databaseId });
    const other = fakePool({}, {}, { databaseId });
    const writer = await other.pool.acquire();
    await writer.run('BEGIN IMMEDIATE');
    const waits = [
      follow(pool.run('INSERT INTO t VALUES (1)')),
      follow(pool.transaction((tx) => tx.run('INSERT INTO t VALUES (2)'))),
    ];
    await clock.settle();
    expect(pool.stats()).toMatchObject({ writerHeld: true, writersWaiting: 2 });
    const closed = follow(pool.close());
    await clock.advance(LIMITS.closeTimeoutMs);
    expect(closed.now.state).toBe('resolved');
    expect(waits.map((wait) => errorOf(wait) instanceof PoolClosedError)).toEqual([true, true]);
    await writer.run('COMMIT');
    await clock.settle();
    expect(driver.calls.filter(({ sql }) => /^(?:BEGIN|INSERT)/.test(sql))).toEqual([]);
    expect(driver.openConnections).toBe(0);
    expect(driver.violations).toEqual([]);
    // No one holds the write lock.
    await expect(writer.run('INSERT INTO t VALUES (3)')).resolves.toBeDefined();
    await writer.release();
    await other.pool.close();
  });

  it('F96 takes back after a second what a request keeps that may never be answered, between two of its statements', async () => {
    const { pool, driver, clock } = fakePool({}, { ...LIMITS, poolSize: 2 });
    const options = { mode: 'request', disconnectGraceMs: 60_000, method: 'GET' } as const;
    const requests = [new RequestLease(pool, options), new RequestLease(pool, options)];
    for (const db of requests) await db.get('SELECT 1');
    expect(pool.stats().leased).toBe(2);
    const closed = follow(pool.close());
    await clock.advance(999);
    expect(closed.now.state).toBe('pending');
    await clock.advance(1);
    expect(closed.now.state).toBe('resolved');
    expect(driver.openConnections).toBe(0);
    await expect(requests[0]?.get('SELECT 2')).rejects.toBeInstanceOf(PoolClosedError);
  });

  it('F96 takes back what a request keeps as soon as its statement is done, if that takes longer', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, LIMITS);
    const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 60_000, method: 'GET' });
    const call = follow(db.get('SELECT 1'));
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(1000);
    expect([call.now.state, closed.now.state]).toEqual(['pending', 'pending']);
    driver.call('execute').resolve();
    await clock.settle();
    expect([call.now.state, closed.now.state]).toEqual(['resolved', 'resolved']);
  });

  it('F49 twice is one and the same promise, and every use after it is refused at once', async () => {
    const { pool, driver } = fakePool();
    await pool.get('SELECT 1');
    const closing = pool.close();
    expect(pool.close()).toBe(closing);
    expect(pool[Symbol.asyncDispose]()).toBe(closing);
    expect(pool.closed).toBe(true);
    await closing;
    const before = driver.calls.length;
    const uses = [
      pool.acquire(),
      pool.open(),
      pool.get('SELECT 1'),
      pool.run('DELETE FROM t'),
      pool.script('DELETE FROM t'),
      pool.transaction(() => 1),
      pool.connection(() => 1),
      pool.iterate('SELECT 1').next(),
    ];
    const ends = await Promise.allSettled(uses);
    expect(ends.every((end) => end.status === 'rejected' && end.reason instanceof PoolClosedError)).toBe(
      true,
    );
    expect(driver.calls.length).toBe(before);
  });

  it('F49 of a pool that was never used is done at once', async () => {
    const { pool, driver, clock } = fakePool();
    await pool.close();
    expect(driver.calls).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('closes one connection after the other, and tidies up with the last', async () => {
    const { pool, driver, clock } = fakePool({ close: { 1: 'hang', 2: 'hang' } }, { ...LIMITS, poolSize: 3 });
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]);
    const closed = follow(pool.close());
    for (const nth of [1, 2]) {
      await clock.settle();
      expect(driver.count('close')).toBe(nth);
      expect(driver.calls.some(({ sql }) => sql === 'PRAGMA optimize')).toBe(false);
      driver.call('close', nth).resolve();
    }
    await clock.settle();
    expect(driver.calls.at(-2)).toMatchObject({ sql: 'PRAGMA optimize' });
    expect(driver.count('close')).toBe(3);
    expect(closed.now.state).toBe('resolved');
    expect(driver.violations).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it('F47 does not let a close that hangs hold up the others for more than a second', async () => {
    const { pool, driver, clock } = fakePool(
      { close: { 1: 'hang' } },
      { operationTimeoutMs: 5000, poolSize: 3 },
    );
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]);
    pool.evict();
    await clock.advance(999);
    expect(driver.count('close')).toBe(1);
    await clock.advance(1);
    expect(driver.count('close')).toBe(3);
    expect(pool.stats()).toMatchObject({ closing: 1, quarantined: 0 });
    driver.call('close', 1).resolve();
    await pool.close();
    expect(clock.pending).toBe(0);
  });

  it('F47 F73 waits for a close that is under way, however long it writes back the WAL', async () => {
    const slow = ({ sql }: FakeCall) =>
      sql.startsWith('SELECT slow') ? ('interruptible' as const) : undefined;
    const { pool, driver, clock } = fakePool((call) => (call.method === 'close' ? 'hang' : slow(call)), {
      ...LIMITS,
      poolSize: 1,
    });
    const running = follow(pool.get('SELECT slow'));
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(LIMITS.closeTimeoutMs + LIMITS.operationTimeoutMs - 1);
    expect(errorOf(running)).toBeInstanceOf(PoolClosedError);
    expect(driver.count('close')).toBe(1);
    expect(closed.now.state).toBe('pending');
    driver.call('close').resolve();
    await clock.settle();
    expect(closed.now.state).toBe('resolved');
    expect(pool.stats()).toMatchObject({ quarantined: 0, size: 0 });
  });

  it('leaves nothing that keeps the process alive, and no timer at all', async () => {
    const { pool, clock } = fakePool({}, { minIdle: 1 });
    await pool.get('SELECT 1');
    expect(clock.pendingForeground).toBe(0);
    expect(clock.pending).toBe(1);
    await pool.close();
    expect(clock.pending).toBe(0);
  });

  it('F50 is not disturbed by closes that fail', async () => {
    const { pool, driver } = fakePool(
      ({ method }) => (method === 'close' ? { reject: new Error('busy') } : undefined),
      {
        poolSize: 3,
      },
    );
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2'), pool.get('SELECT 3')]);
    await expect(pool.close()).resolves.toBeUndefined();
    expect(driver.count('close')).toBe(3);
    expect(pool.stats()).toMatchObject({ size: 0, quarantined: 0 });
  });
});
