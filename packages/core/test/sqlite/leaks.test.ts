import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import type { SqlitePool } from '../../src/index.ts';
import { ENDLESS, failure, moment, poolWithTable, valuesOf } from './helpers.ts';

interface Warning {
  readonly message: string;
  readonly code: string;
}

/** The warnings that the process emits from now on. */
function warnings(): Warning[] {
  const seen: Warning[] = [];
  vi.spyOn(process, 'emitWarning').mockImplementation((message: string | Error, ...rest: unknown[]) => {
    seen.push({ message: String(message), code: (rest[0] as { code: string }).code });
  });
  return seen;
}

test('F19 a lease that is held for longer than leakWarningMs is reported once, with the place of its acquire', async () => {
  const seen = warnings();
  const pool = await poolWithTable({ leakWarningMs: 20 });
  const lease = await pool.acquire();
  await vi.waitFor(() => {
    expect(seen).toHaveLength(1);
  });
  expect(seen[0]).toMatchObject({
    code: 'SQLITE_POOL_LEAK',
    message: expect.stringContaining(import.meta.filename) as unknown,
  });
  expect(pool.stats()).toMatchObject({ leaks: 1, leased: 1 });
  // It is a warning: the lease still works, and so does the pool.
  expect(await lease.get('SELECT 1 AS one')).toEqual({ one: 1 });
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  await lease.release();
  expect(seen).toHaveLength(1);
});

test('F19 a lease that was released in time is not reported', async () => {
  const seen = warnings();
  const pool = await poolWithTable({ leakWarningMs: 30 });
  const short = await pool.acquire();
  await short.release();
  // The warning of the second lease comes after the moment at which the first one would have had its own.
  await pool.acquire();
  await vi.waitFor(() => {
    expect(seen).toHaveLength(1);
  });
  expect(pool.stats().leaks).toBe(1);
});

test('F20 a lease that was dropped without a release is reclaimed when it is collected, rolled back and reported', async () => {
  const collect = collector();
  const seen = warnings();
  const pool = await poolWithTable({ poolSize: 1 });
  await dropLease(pool);
  expect(pool.stats()).toMatchObject({ leased: 1, idle: 0 });
  await vi.waitFor(
    () => {
      collect();
      expect(pool.stats()).toMatchObject({ leased: 0, idle: 1, leaks: 1, writerHeld: false });
    },
    { timeout: 10_000 },
  );
  expect(seen).toEqual([
    { code: 'SQLITE_POOL_LEAK', message: expect.stringContaining('collected as garbage') as unknown },
  ]);
  expect(await valuesOf(pool)).toEqual([]);
});

test('F20 a lease that is only used through a call under way is not collected', async () => {
  const collect = collector();
  const seen = warnings();
  const pool = await poolWithTable({ poolSize: 1 });
  const answer = (await pool.acquire()).get(ENDLESS.replace('5000000000', '500000'));
  collect();
  expect(await answer).toEqual({ c: 500_000 });
  expect(seen).toEqual([]);
});

test('a lease older than maxLeaseMs is revoked: its statement is interrupted, its transaction rolled back, its handle refused', async () => {
  const pool = await poolWithTable({ poolSize: 1, maxLeaseMs: 50 });
  const lease = await pool.acquire();
  await lease.execute('BEGIN IMMEDIATE');
  await lease.run('INSERT INTO t (v) VALUES (1)');
  const running = failure(lease.all(ENDLESS));
  const next = pool.run('INSERT INTO t (v) VALUES (2)');
  expect(await running).toMatchObject({ code: 'LEASE_ENDED' });
  await next;
  expect(await failure(lease.run('INSERT INTO t (v) VALUES (3)'))).toMatchObject({ code: 'LEASE_ENDED' });
  await lease.release();
  expect(await valuesOf(pool)).toEqual([2]);
  expect(pool.stats()).toMatchObject({ leased: 0, opens: 1 });
});

test('a lease older than maxLeaseMs inside transaction() is revoked too, and the transaction rejects', async () => {
  const pool = await poolWithTable({ maxLeaseMs: 50 });
  const error = await failure(
    pool.connection((lease) =>
      lease.transaction(async (tx) => {
        await tx.run('INSERT INTO t (v) VALUES (1)');
        await new Promise(() => undefined);
      }),
    ),
  );
  expect(error).toMatchObject({ code: 'LEASE_ENDED' });
  await pool.run('INSERT INTO t (v) VALUES (2)');
  expect(await valuesOf(pool)).toEqual([2]);
});

test.for(['transaction', 'connection'] as const)(
  'F19 F28 a pool.%s() older than leakWarningMs is reported with its place, which a timed-out acquire has too',
  async (method) => {
    const seen = warnings();
    const pool = await poolWithTable({ leakWarningMs: 20, poolSize: 1 });
    const [begun, end] = [moment(), moment()];
    const callerOfThePool = async (): Promise<void> => {
      await pool[method](() => {
        begun.reach();
        return end.reached;
      });
    };
    const held = callerOfThePool();
    await begun.reached;
    const error = await failure(pool.acquire({ timeoutMs: 100 }));
    expect(error).toMatchObject({
      code: 'ACQUIRE_TIMEOUT',
      holders: [expect.stringContaining('callerOfThePool') as unknown],
    });
    await vi.waitFor(() => {
      expect(seen).toHaveLength(1);
    });
    expect(seen[0]?.message).toContain('callerOfThePool');
    expect(pool.stats().leaks).toBe(1);
    end.reach();
    await held;
    expect(pool.stats().leased).toBe(0);
  },
);

/** In a function of its own, so that nothing on the stack of the test keeps the lease. */
async function dropLease(pool: SqlitePool): Promise<void> {
  const lease = await pool.acquire();
  await lease.execute('BEGIN IMMEDIATE');
  await lease.run('INSERT INTO t (v) VALUES (1)');
}

/** What collects garbage; there also when the process was started without --expose-gc. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
