import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/waiting/deadline.ts';
import { fakePool, follow, type FakePool } from './support.ts';

const IDLE = { poolSize: 8, idleTimeoutMs: 60_000, validateAfterIdleMs: Infinity };

async function fill({ pool }: FakePool, connections: number): Promise<void> {
  await Promise.all(Array.from({ length: connections }, () => pool.get('SELECT 2')));
}

afterEach(() => {
  vi.useRealTimers();
});

describe('connections that are idle', () => {
  it('F54 for the same time are closed a quarter of the pool at a time, the oldest first', async () => {
    const fake = fakePool({}, IDLE);
    await fill(fake, 8);
    const { pool, driver, clock } = fake;
    await clock.advance(IDLE.idleTimeoutMs - 1);
    expect(pool.stats()).toMatchObject({ idle: 8 });
    const left: number[] = [];
    for (let second = 0; second < 5; second += 1) {
      await clock.advance(1000);
      left.push(pool.stats().idle);
    }
    expect(left).toEqual([6, 4, 2, 0, 0]);
    expect(pool.stats().evictions.idle).toBe(8);
    expect(driver.openConnections).toBe(0);
  });

  it('F54 for too long serve an acquire that comes before the sweep, after a health check', async () => {
    const fake = fakePool({}, { ...IDLE, poolSize: 4, idleTimeoutMs: 500, validateAfterIdleMs: 100 });
    await fill(fake, 4);
    const { pool, driver, clock } = fake;
    await clock.advance(600);
    await pool.get('SELECT 2');
    expect(driver.count('open')).toBe(4);
    expect(driver.calls.filter(({ sql }) => sql === 'SELECT 1')).toHaveLength(1);
    expect(pool.stats().evictions.idle).toBe(0);
  });

  it('keep minIdle of them, and open what is missing', async () => {
    const fake = fakePool({}, { ...IDLE, minIdle: 3 });
    await fill(fake, 8);
    const { pool, clock } = fake;
    await clock.advance(2 * IDLE.idleTimeoutMs);
    expect(pool.stats().idle).toBe(3);
    const lease = await pool.acquire();
    await lease.discard();
    await clock.advance(1000);
    expect(pool.stats().idle).toBe(3);
  });

  it('are leased newest first, so that those that are not needed grow old', async () => {
    const fake = fakePool({}, IDLE);
    await fill(fake, 3);
    const { driver } = fake;
    const before = driver.calls.length;
    for (let n = 0; n < 5; n += 1) await fake.pool.get('SELECT 3');
    expect(new Set(driver.calls.slice(before).map(({ connection }) => connection)).size).toBe(1);
  });

  it('are all retired by evict(), the leased ones as they come back, and none of them is leased again', async () => {
    const { pool, driver, clock } = fakePool({}, { ...IDLE, poolSize: 3 });
    const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
    await leases[0].release();
    const waiting = follow(pool.transaction(() => 'ran'));
    pool.evict();
    await clock.settle();
    await Promise.all([leases[1].release(), leases[2].release()]);
    await clock.settle();
    expect(waiting.now).toEqual({ state: 'resolved', value: 'ran' });
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
    const later = driver.calls.filter(({ method, sql }) => method === 'execute' && sql.startsWith('SELECT'));
    expect(later.every(({ connection }) => connection > 3)).toBe(true);
    expect(driver.violations).toEqual([]);
  });

  it('are counted as replaced when their file is another one, also those that were not idle then', async () => {
    const { pool, clock } = fakePool(
      { databaseId: { 3: { resolve: 'another file' }, 4: { resolve: 'another file' } } },
      { poolSize: 2, validateAfterIdleMs: 0 },
    );
    const lease = await pool.acquire();
    await pool.get('SELECT 1');
    await clock.advance(1);
    await pool.get('SELECT 2');
    await lease.release();
    await clock.settle();
    expect(pool.stats().evictions).toMatchObject({ replaced: 2, evicted: 0, invalid: 0 });
  });

  it('F56 outlive a check of their file that hangs or fails, and not one that finds no file', async () => {
    const { pool, driver, clock } = fakePool(
      {
        databaseId: {
          3: 'hang',
          4: { reject: Object.assign(new Error('too many open files'), { code: 'EMFILE' }) },
          5: { throw: new Error('driver') },
          6: { reject: Object.assign(new Error('no such file'), { code: 'ENOENT' }) },
        },
      },
      { poolSize: 2, operationTimeoutMs: 5000 },
    );
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
    await clock.advance(1000 + 5000 + 2000);
    expect(driver.count('databaseId')).toBe(5);
    expect(pool.stats()).toMatchObject({ idle: 2, evictions: { replaced: 0 } });
    await clock.advance(1000);
    expect(pool.stats()).toMatchObject({ idle: 0, evictions: { replaced: 2 } });
    expect(driver.openConnections).toBe(0);
  });

  it('F55 do not care what time of day it is: the clock of the pool never jumps', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 0 });
    const before = systemClock.now();
    for (const time of [3_600_000, -3_600_000, 1e13]) {
      vi.setSystemTime(time);
      const now = systemClock.now();
      expect(now - before).toBeGreaterThanOrEqual(0);
      expect(now - before).toBeLessThan(5000);
    }
  });

  it('F55 after the process slept for an hour are checked before they are leased, and few are closed', async () => {
    const fake = fakePool({}, { poolSize: 8, idleTimeoutMs: 60_000, validateAfterIdleMs: 500 });
    await fill(fake, 8);
    const { pool, driver, clock } = fake;
    const waiting = follow(pool.connection(() => 'served'));
    // One tick: no timer ran while it slept.
    clock.jump(3_600_000);
    await clock.settle();
    expect(waiting.now).toEqual({ state: 'resolved', value: 'served' });
    await pool.get('SELECT 2');
    expect(driver.count('open')).toBeLessThanOrEqual(9);
  });
});
