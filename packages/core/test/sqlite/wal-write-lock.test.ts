import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { poolOf, temporaryFile, timed } from './helpers.ts';

const CHECK_MS = 1300;

it('the care for the WAL keeps no connection while somebody writes', async () => {
  const pool = poolOf({
    filename: await temporaryFile(),
    poolSize: 2,
    walLimitBytes: 100_000,
    acquireTimeoutMs: 3000,
  });
  await pool.script('CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1000000))');
  await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
  await pool.transaction(async (tx) => {
    await tx.run('INSERT INTO t VALUES (1)');
    await setTimeout(CHECK_MS);
    expect(await timed(() => pool.get('SELECT 1'))).toBeLessThan(500);
  });
  expect(pool.stats().acquireTimeouts).toBe(0);
  await setTimeout(CHECK_MS);
  await setTimeout(CHECK_MS);
  expect(pool.stats().walBytes).toBeLessThan(100_000);
});

it('a close does not wait for the care for the WAL', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, poolSize: 1, walLimitBytes: 100_000, closeTimeoutMs: 3000 });
  const other = poolOf({ filename, poolSize: 1 });
  await pool.script('CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(1000000))');
  const lease = await other.acquire();
  await lease.run('BEGIN IMMEDIATE');
  await setTimeout(CHECK_MS);
  expect(await timed(() => pool.close())).toBeLessThan(500);
  expect(other.stats().writersWaiting).toBe(0);
  await lease.release();
});
