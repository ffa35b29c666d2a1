import { expect, it, vi } from 'vitest';
import type { PoolOptions } from '../../src/index.ts';
import type { FakeScript } from '../../src/testing/index.ts';
import { fakePool } from './support.ts';

/** A pool whose WAL is always larger than its limit; `bytes` says how large. */
function poolWithWal(bytes: number, options: Omit<PoolOptions, 'driver' | 'clock'>, script: FakeScript = {}) {
  const { pool, driver, clock } = fakePool(script, { walLimitBytes: 100, ...options });
  Object.assign(driver, { walBytes: () => Promise.resolve(bytes) });
  const checkpoints = (): number => driver.calls.filter(({ sql }) => sql.includes('wal_checkpoint')).length;
  return { pool, driver, clock, checkpoints };
}

it('the pool looks after its WAL on a connection that nobody waits for: none if there is none', async () => {
  const { pool, driver, clock, checkpoints } = poolWithWal(150, { poolSize: 1 });
  const lease = await pool.acquire();
  await clock.advance(5000);
  expect(checkpoints()).toBe(0);
  const next = pool.acquire();
  await lease.release();
  await (await next).release();
  await clock.advance(1000);
  expect(checkpoints()).toBeGreaterThan(0);
  expect(pool.stats()).toMatchObject({ idle: 1, leased: 0, walBytes: 150 });
  expect(driver.violations).toEqual([]);
});

it('it does not take an idle connection that somebody is about to get', async () => {
  const { pool, clock, checkpoints } = poolWithWal(150, { poolSize: 1, validateAfterIdleMs: 0 });
  await pool.open();
  const lease = await pool.acquire();
  const waiting = [pool.acquire(), pool.acquire()];
  await clock.advance(1000);
  expect(checkpoints()).toBe(0);
  await lease.release();
  for (const other of waiting) await (await other).release();
});

it('with a WAL of twice its limit it stands in line for a second, and counts as no acquire that ran out of time', async () => {
  const { pool, clock, checkpoints } = poolWithWal(250, { poolSize: 1 });
  const lease = await pool.acquire();
  await clock.advance(1000);
  expect(pool.stats().waiting).toBe(1);
  await clock.advance(999);
  await lease.release();
  await clock.settle();
  expect(checkpoints()).toBeGreaterThan(0);

  const again = await pool.acquire();
  await clock.advance(10_000);
  expect(pool.stats()).toMatchObject({ acquireTimeouts: 0 });
  await again.release();
  await pool.close();
  const before = checkpoints();
  await clock.advance(5000);
  expect(checkpoints()).toBe(before);
});

it('a driver that cannot tell how large the WAL is has none to look after', async () => {
  const { pool, driver, clock } = fakePool({}, { walLimitBytes: 1 });
  await pool.open();
  await clock.advance(5000);
  expect(pool.stats().walBytes).toBe(0);
  expect(driver.count('execute')).toBe(0);
});

it('a transaction is one reader whatever is nested in it, and a lease that reads nothing is none', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const stopped = {
    rows: [{ busy: 0, log: 100, checkpointed: 40 }],
    columns: [],
    changes: 0,
    lastInsertRowid: 0,
  };
  const { pool, clock } = poolWithWal(150, {}, ({ sql }) =>
    sql.includes('wal_checkpoint') ? { resolve: stopped } : undefined,
  );
  const unused = await pool.acquire();
  await pool.transaction(async (tx) => {
    for (let n = 0; n < 3; n += 1) {
      await tx.transaction(async (inner) => {
        await inner.get('SELECT 1');
        await clock.advance(1000);
      });
    }
  });
  expect(warned).toHaveBeenCalledExactlyOnceWith(
    expect.stringContaining('It is a lease with a transaction, for at least 2 s.'),
    expect.anything(),
  );
  await unused.release();
});

it('a first open that takes longer than a second is not of a file that is gone', async () => {
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
  const { pool, driver, clock } = fakePool({ open: { 1: 'hang' }, databaseId: { 1: { reject: missing } } });
  const opened = pool.open();
  await clock.advance(1500);
  driver.call('open').resolve();
  await opened;
  await pool.get('SELECT 1');
  expect(pool.stats()).toMatchObject({ opens: 1, evictions: { replaced: 0 } });
  expect(driver.count('databaseId')).toBe(2);
});
