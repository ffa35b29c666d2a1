import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { createPool, type Connection, type SqlitePool } from '@sqlite-pool/core';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import type { Cost } from './hot-path-child.ts';

/**
 * What a call on a connection that answers at once may cost. The counts are exact and the same on every machine, so they
 * change only with the code (or with Node.js, whose version is pinned). The bounds leave a tenth for bytes.
 *
 * A change that needs more raises its bound here, and says in its commit what it buys.
 */
const BOUNDS: Readonly<Record<string, Cost>> = {
  get: { bytes: 4200, promises: 12, ticks: 6 },
  all: { bytes: 4200, promises: 12, ticks: 6 },
  run: { bytes: 5900, promises: 18, ticks: 9 },
  'acquire and release': { bytes: 1950, promises: 6, ticks: 4 },
  transaction: { bytes: 27_000, promises: 57, ticks: 30 },
};

describe('the hot path', () => {
  let costs: Readonly<Record<string, Cost>> = {};

  beforeAll(async () => {
    const child = fork(fileURLToPath(new URL('hot-path-child.ts', import.meta.url)), {
      execArgv: [
        '--expose-gc',
        // Optimized code allocates less, from when V8 sees fit to optimize.
        '--no-opt',
        '--no-maglev',
        '--no-lazy-feedback-allocation',
        // MiB of young objects before any are collected.
        '--min-semi-space-size=64',
        '--max-semi-space-size=64',
      ],
    });
    const exit = once(child, 'exit').then(([code]) => {
      throw new Error(`Counting ended with exit code ${String(code)} and no counts.`);
    });
    [costs] = (await Promise.race([once(child, 'message'), exit])) as [Record<string, Cost>];
    await exit.catch(() => undefined);
  });

  it.each(Object.entries(BOUNDS))('does not cost more than it did: %s', (name, bounds) => {
    const cost = costs[name];
    for (const what of ['bytes', 'promises', 'ticks'] as const)
      expect(cost?.[what], `${what} of ${name}`).toBeLessThanOrEqual(bounds[what]);
  });

  it('has bounds close to what it costs, so that a slowdown is seen', () => {
    for (const [name, bounds] of Object.entries(BOUNDS))
      expect(bounds.bytes, `the bound for the bytes of ${name}`).toBeLessThan(
        1.5 * (costs[name]?.bytes ?? NaN),
      );
  });
});

describe('what a call leaves behind', () => {
  it('is collected while it is young: the whole heap is rarely searched, which would stop the event loop', async () => {
    const child = fork(fileURLToPath(new URL('promotion-child.ts', import.meta.url)), {
      // MiB: many collections of young objects, so that what lives on does so because something keeps it.
      execArgv: ['--expose-gc', '--min-semi-space-size=1', '--max-semi-space-size=1'],
    });
    const exit = once(child, 'exit');
    const [promoted] = (await Promise.race([
      once(child, 'message'),
      exit.then(([code]) => Promise.reject(new Error(`Counting ended with exit code ${String(code)}.`))),
    ])) as [Readonly<Record<string, number>>];
    await exit;
    // In bytes. A Set, a Map or a list whose members keep the next one makes them hundreds.
    for (const [name, bytes] of Object.entries(promoted)) expect(bytes, name).toBeLessThan(40);
    expect(Object.keys(promoted)).toHaveLength(4);
  });
});

describe('the cost of a call', () => {
  it('does not grow with the number of idle connections', async () => {
    const [few, many] = await Promise.all([poolOf(4), poolOf(1000)]);
    const get = (pool: SqlitePool) => async () => {
      for (let i = 0; i < 100; i++) await pool.get('SELECT 1');
    };
    expect(await ratio(get(many), get(few))).toBeLessThan(3);
  });

  it('does not grow with the number of waiters', async () => {
    const pool = await poolOf(4);
    const waiters = (count: number, times: number) => async () => {
      for (let i = 0; i < times; i++)
        await Promise.all(Array.from({ length: count }, () => pool.get('SELECT 1')));
    };
    expect(await ratio(waiters(10_000, 1), waiters(100, 100))).toBeLessThan(4);
  });
});

/** How much longer `over` takes than `under`: the fastest of some of each, alternating, is the one nothing disturbed. */
async function ratio(over: () => Promise<void>, under: () => Promise<void>): Promise<number> {
  const fastest = { over: Infinity, under: Infinity };
  for (let i = 0; i < 10; i++) {
    fastest.over = Math.min(fastest.over, await timeOf(over));
    fastest.under = Math.min(fastest.under, await timeOf(under));
  }
  return fastest.over / fastest.under;
}

async function timeOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** A pool with all its connections open. */
async function poolOf(poolSize: number): Promise<SqlitePool> {
  const pool = createPool({ connectionFactory: () => connection(), poolSize, maxWaiting: Infinity });
  onTestFinished(() => pool.close());
  const leases = await Promise.all(Array.from({ length: poolSize }, () => pool.acquire()));
  await Promise.all(leases.map((lease) => lease.release()));
  return pool;
}

function connection(): Connection {
  const answered = Promise.resolve({ rows: [], columns: [], changes: 0, lastInsertRowid: 0 });
  const done = Promise.resolve();
  return { execute: () => answered, rollback: () => done, close: () => done, inTransaction: () => false };
}
