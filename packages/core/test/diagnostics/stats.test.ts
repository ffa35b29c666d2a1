import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { betterSqlite3 } from '../../src/drivers/worker/better-sqlite3.ts';
import { createPool } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { WaitHistogram } from '../../src/diagnostics/stats.ts';
import { fakePool } from '../pool/support.ts';

describe('the distribution of waits', () => {
  it('is all zeros while there is none', () => {
    expect(new WaitHistogram().snapshot()).toEqual({
      count: 0,
      totalMs: 0,
      maxMs: 0,
      p50Ms: 0,
      p95Ms: 0,
      p99Ms: 0,
    });
  });

  it('has percentiles that are upper bounds, at most twice the truth and never above the maximum', () => {
    const waits = fc.array(fc.double({ min: 0, max: 1e8, noNaN: true }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(waits, (all) => {
        const histogram = new WaitHistogram();
        for (const ms of all) histogram.add(ms);
        const { count, maxMs, p50Ms, p95Ms, p99Ms } = histogram.snapshot();
        const sorted = all.toSorted((a, b) => a - b);
        const largest = sorted.at(-1) ?? 0;
        expect([count, maxMs]).toEqual([all.length, largest]);
        for (const [share, bound] of [
          [0.5, p50Ms],
          [0.95, p95Ms],
          [0.99, p99Ms],
        ] as const) {
          const truth = sorted[Math.ceil(all.length * share) - 1] ?? 0;
          expect(bound).toBeGreaterThanOrEqual(truth);
          expect(bound).toBeLessThanOrEqual(largest);
          // Beyond the last edge, 35 minutes, nothing is known but the maximum.
          if (truth <= 2 ** 21) expect(bound).toBeLessThanOrEqual(Math.max(2 * truth, 0.125));
        }
      }),
    );
  });

  it('keeps rare long waits apart from many short ones', () => {
    const histogram = new WaitHistogram();
    for (let n = 0; n < 1000; n += 1) histogram.add(0);
    histogram.add(100);
    expect(histogram.snapshot()).toMatchObject({ count: 1001, p50Ms: 0.125, p99Ms: 0.125, maxMs: 100 });
  });
});

describe('the stats of a pool', () => {
  it('say which driver it has', async () => {
    const open = (): never => {
      throw new Error('It is not opened.');
    };
    const drivers = [
      { filename: ':memory:' },
      { driver: betterSqlite3({ filename: ':memory:' }) },
      { driver: sqlite3({ filename: ':memory:' }) },
      { driver: { name: 'mine', open } },
      { connectionFactory: open },
    ].map((source) => createPool(source).stats().driver);
    expect(drivers).toEqual(['node:sqlite', 'better-sqlite3', 'sqlite3', 'mine', 'connectionFactory']);
  });

  it('count what has happened, and are a snapshot that stays as it is', async () => {
    const { pool, clock } = fakePool({ open: { 2: { reject: new Error('disk') } } }, { poolSize: 2 });
    const before = pool.stats();
    const lease = await pool.acquire();
    await expect(pool.get('SELECT 1')).rejects.toThrow();
    await lease.discard();
    await clock.settle();
    await pool.get('SELECT 1');
    expect(before).toMatchObject({ size: 0, acquires: 0, opens: 0 });
    expect(pool.stats()).toMatchObject({
      size: 1,
      idle: 1,
      leased: 0,
      acquires: 2,
      opens: 2,
      openFailures: 1,
      evictions: { discarded: 1, idle: 0 },
    });
  });

  it('count how long an acquire has waited', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1 });
    const lease = await pool.acquire();
    const waiting = pool.acquire();
    await clock.advance(100);
    await lease.release();
    await (await waiting).release();
    expect(pool.stats().wait).toMatchObject({ count: 2, totalMs: 100, maxMs: 100, p99Ms: 100 });
  });
});
