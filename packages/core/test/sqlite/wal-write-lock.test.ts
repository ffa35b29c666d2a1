import { expect, it, vi } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { poolOf, temporaryFile, timed } from './helpers.ts';

const LIMIT = 100_000;

/** Resolves when the pool has looked at a WAL that is too large. */
async function cared(pool: SqlitePool): Promise<void> {
  await vi.waitUntil(() => pool.stats().walBytes > LIMIT, { timeout: 10_000 });
}

it('the care for the WAL keeps no connection while somebody writes', async () => {
  const clock = fakeClock();
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 2,
    walLimitBytes: LIMIT,
    acquireTimeoutMs: 3000,
    clock,
  });
  await pool.script('CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1000000))');
  await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t VALUES (1)');
    await clock.advance(1000);
    await cared(pool);
    // Of the two only that of the transaction is in use.
    await vi.waitUntil(() => pool.stats().leased === 1);
    expect(await timed(() => pool.get('SELECT 1'))).toBeLessThan(500);
  });
  expect(pool.stats().acquireTimeouts).toBe(0);
  await vi.waitFor(
    async () => {
      await clock.advance(1000);
      expect(pool.stats().walBytes).toBeLessThan(LIMIT);
    },
    { timeout: 10_000 },
  );
});

it('a close does not wait for the care for the WAL', async () => {
  const clock = fakeClock();
  const filename = await temporaryFile();
  const pool = poolOf({ filename, poolSize: 1, walLimitBytes: LIMIT, closeTimeoutMs: 3000, clock });
  const other = poolOf({ filename, poolSize: 1 });
  await pool.script('CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1000000))');
  const lease = await other.acquire();
  await lease.run('BEGIN IMMEDIATE');
  await clock.advance(1000);
  await cared(pool);
  // It waits for the write lock, without the connection.
  await vi.waitUntil(() => pool.stats().leased === 0 && clock.pendingForeground > 0);
  expect(await timed(() => pool.close())).toBeLessThan(500);
  expect(other.stats().writersWaiting).toBe(0);
  await lease.release();
});
