import assert from 'node:assert/strict';
import type { Lease } from '../../src/index.ts';
import type { FakeCall, FakeMethod, FakeOutcome } from '../../src/testing/index.ts';
import { checkCapacity, fakePool, settled, type FakePool } from './support.ts';

/** How a call can go wrong. */
export const FAULTS = ['rejects', 'throws', 'hangs', 'returns late', 'settles twice'] as const;
export type Fault = (typeof FAULTS)[number];

const POOL_SIZE = 2;
const TIMEOUT_MS = 1000;
/** More than the sum of the limits that can follow one another in one step. */
const STEP_LIMIT_MS = 20 * TIMEOUT_MS;

/** A statement that runs until it is interrupted. */
const SLOW = 'SELECT slow';

class Told extends Error {}

function outcomeOf(fault: Fault): FakeOutcome {
  if (fault === 'rejects') return { reject: new Told('rejected as told') };
  if (fault === 'throws') return { throw: new Told('thrown as told') };
  return fault === 'settles twice' ? 'twice' : 'hang';
}

/**
 * Runs the scenario with the n-th call of a method going wrong. Resolves to whether there was an n-th call; rejects if
 * the pool did not cope.
 */
export async function runWithFault(method: FakeMethod, nth: number, fault: Fault): Promise<boolean> {
  const script = (call: FakeCall): FakeOutcome | undefined => {
    if (call.method === method && call.nth === nth) return outcomeOf(fault);
    return call.sql.startsWith(SLOW) ? 'interruptible' : undefined;
  };
  const fake = fakePool(script, {
    poolSize: POOL_SIZE,
    acquireTimeoutMs: 5 * TIMEOUT_MS,
    operationTimeoutMs: TIMEOUT_MS,
    statementTimeoutMs: TIMEOUT_MS,
    closeTimeoutMs: TIMEOUT_MS,
    idleTimeoutMs: 5 * TIMEOUT_MS,
    validateAfterIdleMs: 100,
  });
  for (const [title, step] of Object.entries(SCENARIO)) {
    const end = await settled(fake.clock, step(fake), STEP_LIMIT_MS, `step "${title}"`);
    if (end.state === 'rejected')
      assert.ok(end.error instanceof Error, `${title} rejected with ${String(end.error)}`);
    checkStats(fake, title);
  }
  if (fault === 'returns late') await comeBack(fake);
  await checkCapacity(fake, POOL_SIZE, STEP_LIMIT_MS);
  assert.equal((await settled(fake.clock, fake.pool.close(), STEP_LIMIT_MS, 'close()')).state, 'resolved');
  if (fault === 'returns late') await comeBack(fake);
  checkEnd(fake, fault === 'hangs' || method === 'interrupt');
  return fake.driver.count(method) >= nth;
}

/** Whatever hangs returns at last: then nothing may be left of it. */
async function comeBack({ pool, driver, clock }: FakePool): Promise<void> {
  for (let left = hanging(driver.calls); left.length > 0; left = hanging(driver.calls)) {
    for (const call of left) call.resolve();
    await clock.advance(TIMEOUT_MS);
  }
  assert.equal(pool.stats().quarantined, 0, 'given up although every call has returned');
}

function hanging(calls: readonly FakeCall[]): FakeCall[] {
  return calls.filter(({ settled: over }) => !over);
}

function checkStats({ pool }: FakePool, title: string): void {
  const { size, idle, leased, opening, validating, closing, waiting, quarantined } = pool.stats();
  assert.ok(size <= POOL_SIZE, `${title}: size ${String(size)}`);
  assert.ok(
    idle + leased + opening + validating + closing <= POOL_SIZE,
    `${title}: more than the pool may have`,
  );
  assert.equal(waiting, 0, `${title}: someone waits`);
  assert.ok(quarantined <= 1, `${title}: ${String(quarantined)} given up for one fault`);
}

/** `mayHang`: a call hangs for ever; the one that an interrupt should have ended does too if the interrupt throws. */
function checkEnd({ pool, driver, clock }: FakePool, mayHang: boolean): void {
  const { size, quarantined, writerHeld, writersWaiting, waiting } = pool.stats();
  assert.deepEqual(driver.violations, []);
  assert.deepEqual(
    { size, writerHeld, writersWaiting, waiting },
    { size: 0, writerHeld: false, writersWaiting: 0, waiting: 0 },
  );
  assert.ok(quarantined <= (mayHang ? 1 : 0), 'given up');
  assert.ok(driver.openConnections <= quarantined, `${String(driver.openConnections)} connections are open`);
  assert.equal(clock.pending, 0, 'a timer is left behind');
}

/** The life of a pool. Each step ends by itself, well or not. */
const SCENARIO: Readonly<Record<string, (fake: FakePool) => Promise<unknown>>> = {
  'acquire, execute, release': async ({ pool }) => {
    await using lease = await pool.acquire();
    await lease.execute('SELECT 1');
    await lease.run('INSERT INTO t VALUES (1)');
  },
  'statements of the pool': ({ pool }) =>
    Promise.all([pool.get('SELECT 1'), pool.run('DELETE FROM t'), pool.all('SELECT 2')]),
  'two leases at once': async ({ pool }) => {
    const ends = await Promise.allSettled([pool.acquire(), pool.acquire()]);
    const leases = ends.filter((end): end is PromiseFulfilledResult<Lease> => end.status === 'fulfilled');
    await Promise.all(leases.map(({ value }) => value.release()));
  },
  commit: ({ pool }) =>
    pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (1)');
      await tx.get('SELECT 1');
    }),
  rollback: ({ pool }) =>
    pool.transaction(async (tx) => {
      await tx.run('INSERT INTO t VALUES (2)');
      throw new Told('the callback gives up');
    }),
  savepoint: ({ pool }) =>
    pool.transaction(async (tx) => {
      await tx.transaction((inner) => inner.run('INSERT INTO t VALUES (3)'));
      await tx.transaction(() => Promise.reject(new Told('inside'))).catch(() => undefined);
      await tx.run('INSERT INTO t VALUES (4)');
    }),
  'release inside a transaction': async ({ pool }) => {
    await using lease = await pool.acquire();
    await lease.execute('BEGIN');
    await lease.run('INSERT INTO t VALUES (5)');
  },
  'a cursor that is left': async ({ pool }) => {
    for await (const row of pool.iterate('SELECT n FROM t')) if (row['n'] === 1) break;
  },
  'a cursor to its end': async ({ pool }) => {
    for await (const row of pool.iterate('SELECT n FROM t')) assert.ok(row);
  },
  script: ({ pool }) => pool.script('CREATE TABLE a (x); CREATE TABLE b (x)'),
  'a script with a transaction': ({ pool }) => pool.script('BEGIN; INSERT INTO a VALUES (1); COMMIT'),
  'a statement that is cancelled': ({ pool }) => pool.get(SLOW, [], { timeoutMs: 10 }),
  'a cancelled statement in a transaction': ({ pool }) =>
    pool.transaction((tx) => tx.get(SLOW, [], { timeoutMs: 10 })),
  'a health check': async ({ pool, clock }) => {
    await clock.advance(200);
    await pool.get('SELECT 1');
  },
  discard: async ({ pool }) => {
    const lease = await pool.acquire();
    await lease.discard();
  },
  'a lease that is revoked': async ({ pool, clock }) => {
    const lease = await pool.acquire();
    const running = lease.get(SLOW).catch(() => undefined);
    await clock.settle();
    await lease.revoke();
    await running;
  },
  evict: async ({ pool }) => {
    pool.evict();
    await pool.get('SELECT 1');
  },
  'idle for too long': async ({ pool, clock }) => {
    await clock.advance(6 * TIMEOUT_MS);
    assert.equal(pool.stats().idle, 0);
  },
  'and again': ({ pool }) => pool.run('INSERT INTO t VALUES (6)'),
};
