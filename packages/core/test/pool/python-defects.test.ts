import { describe, expect, it } from 'vitest';
import type { FakeCall } from '../../src/testing/index.ts';
import { checkCapacity, fakePool, follow } from './support.ts';

/** What aiosqlitepool, from which the idea of this pool comes, gets wrong. */
describe('the defects of the Python library', () => {
  it('are not here: a health check that errors does not lose its place', async () => {
    const sick = ({ sql }: FakeCall) => (sql === 'SELECT 1' ? { reject: new Error('sick') } : undefined);
    const fake = fakePool(sick, { poolSize: 2, validateAfterIdleMs: 0 });
    for (let round = 0; round < 10; round += 1) {
      await Promise.all([fake.pool.get('SELECT 2'), fake.pool.get('SELECT 3')]);
      await fake.clock.advance(1);
    }
    await checkCapacity(fake, 2, 0);
    expect(fake.pool.stats().evictions.invalid).toBeGreaterThanOrEqual(18);
  });

  it('are not here: a waiter is woken when a broken connection retires', async () => {
    const { pool, clock } = fakePool({ rollback: { 1: { reject: new Error('broken') } } }, { poolSize: 1 });
    const lease = await pool.acquire();
    await lease.execute('BEGIN');
    const waiting = follow(pool.get('SELECT 1'));
    await lease.release();
    await clock.settle();
    expect(waiting.now.state).toBe('resolved');
    expect(pool.stats().evictions.dirty).toBe(1);
    expect(clock.now()).toBe(0);
  });

  it('are not here: close() does not take a connection from someone who uses it', async () => {
    const { pool, clock } = fakePool();
    const lease = await pool.acquire();
    const closed = follow(pool.close());
    await clock.advance(1000);
    await expect(lease.get('SELECT 1')).resolves.toBeUndefined();
    await lease.release();
    await clock.settle();
    expect(closed.now.state).toBe('resolved');
  });

  it.for([
    { title: 'null', none: null },
    { title: 'Infinity', none: Infinity },
  ])('are not here: a timeout of $title is no timeout, not an error', async ({ none }) => {
    const { pool, clock } = fakePool({}, { poolSize: 1, acquireTimeoutMs: none, idleTimeoutMs: none });
    const lease = await pool.acquire();
    const waiting = follow(pool.acquire());
    await clock.advance(1e7);
    expect(waiting.now.state).toBe('pending');
    expect(clock.pendingForeground).toBe(0);
    await lease.release();
    await clock.settle();
    expect(waiting.now.state).toBe('resolved');
  });
});
