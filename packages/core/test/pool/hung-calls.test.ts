import { describe, expect, it, vi } from 'vitest';
import { untilCancelled } from '../../src/waiting/deadline.ts';
import { AcquireTimeoutError, PoolClosedError, StatementTimeoutError } from '../../src/index.ts';
import { ResourcePool } from '../../src/engine/resource-pool.ts';
import { fakeClock, type FakeCall } from '../../src/testing/index.ts';
import { checkCapacity, errorOf, fakePool, follow } from './support.ts';

const nothing = async (): Promise<void> => undefined;
const LIMITS = { operationTimeoutMs: 1000, validateAfterIdleMs: 500 };

describe('a native call that does not return', () => {
  it('F43 rejects its caller at once, and keeps its connection from everyone else', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 1 });
    const hung = follow(pool.get('SELECT 1', [], { timeoutMs: 100 }));
    const next = follow(pool.get('SELECT 2'));
    await clock.advance(100);
    expect(errorOf(hung)).toBeInstanceOf(StatementTimeoutError);
    expect(next.now.state).toBe('pending');
    driver.call('execute', 1).resolve();
    await clock.settle();
    expect(next.now.state).toBe('resolved');
    expect(driver.count('open')).toBe(1);
    expect(driver.violations).toEqual([]);
  });

  it('F43 costs its connection after operationTimeoutMs, which is counted and replaced', async () => {
    const fake = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 1 });
    const { pool, driver, clock } = fake;
    const hung = follow(pool.get('SELECT 1', [], { timeoutMs: 100 }));
    await clock.advance(100 + 2 * LIMITS.operationTimeoutMs);
    expect(hung.now.state).toBe('rejected');
    expect(pool.stats()).toMatchObject({ quarantined: 1, size: 0 });
    await checkCapacity(fake, 1, 0);
    expect(driver.count('open')).toBe(2);
    driver.call('execute', 1).resolve();
    await clock.settle();
    expect(pool.stats()).toMatchObject({ quarantined: 0, size: 1 });
    expect(driver.openConnections).toBe(1);
    expect(driver.violations).toEqual([]);
  });

  it('F43 is replaced as often as there are places, and no further', async () => {
    const stuck = ({ method }: FakeCall) => (method === 'execute' ? ('hang' as const) : undefined);
    const { pool, driver, clock } = fakePool(stuck, { ...LIMITS, poolSize: 2 });
    for (let round = 0; round < 4; round += 1) {
      follow(pool.get('SELECT 1', [], { timeoutMs: 100 }));
      await clock.advance(100 + 2 * LIMITS.operationTimeoutMs);
    }
    expect(pool.stats()).toMatchObject({ quarantined: 4, size: 2 });
    const refused = follow(pool.acquire({ timeoutMs: 5000 }));
    await clock.advance(5000);
    expect(errorOf(refused)).toMatchObject({ code: 'ACQUIRE_TIMEOUT', phase: 'wait' });
    expect(driver.count('open')).toBe(4);
    driver.call('execute', 1).resolve();
    await clock.settle();
    const lease = await pool.acquire();
    await lease.release();
  });

  it('F43 gives up the write lock with its connection', async () => {
    const { pool, clock } = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 3 });
    const hung = follow(pool.run('INSERT INTO t VALUES (1)', [], { timeoutMs: 100 }));
    await clock.settle();
    const next = follow(pool.run('INSERT INTO t VALUES (2)'));
    await clock.advance(100 + 50 + 2 * LIMITS.operationTimeoutMs);
    expect(hung.now.state).toBe('rejected');
    expect(next.now.state).toBe('resolved');
    expect(pool.stats()).toMatchObject({ writerHeld: false, writersWaiting: 0 });
  });

  it('F43 is named by a warning when its connection is given up', async () => {
    const warn = vi.fn();
    const logger = { debug: () => undefined, warn };
    const options = { ...LIMITS, poolSize: 3, logger };
    const { pool, clock } = fakePool({ execute: { 1: 'hang' }, close: { 1: 'hang' } }, options);
    follow(pool.run('INSERT INTO t VALUES (1)', [], { timeoutMs: 100 }));
    await clock.advance(100 + 50 + 2 * LIMITS.operationTimeoutMs);
    const writer = { code: 'SQLITE_POOL_STUCK', sql: 'INSERT INTO t VALUES (1)', writes: true };
    expect(warn.mock.calls).toEqual([
      [expect.objectContaining(writer), expect.stringMatching(/SQLITE_BUSY.* INSERT INTO t VALUES \(1\)$/)],
    ]);
    const lease = await pool.acquire();
    void lease.discard();
    await clock.advance(LIMITS.operationTimeoutMs);
    expect(warn.mock.lastCall).toEqual([
      expect.objectContaining({ sql: undefined, writes: false }),
      'The close of a connection does not return. The pool goes on without its connection.',
    ]);
  });

  it('F44 or one that settles twice is taken at its first word', async () => {
    const { pool, driver, clock } = fakePool({
      execute: { 1: 'twice' },
      open: { 1: 'twice' },
      close: { 1: 'twice' },
    });
    await expect(pool.all('SELECT 1')).resolves.toEqual([]);
    await expect(pool.all('SELECT 2')).resolves.toEqual([]);
    await pool.close();
    await clock.settle();
    expect(pool.stats()).toMatchObject({ size: 0, quarantined: 0 });
    expect(driver.openConnections).toBe(0);
  });

  it('F47 at a close holds its place until operationTimeoutMs, and no longer', async () => {
    const { pool, driver, clock } = fakePool({ close: { 1: 'hang' } }, { ...LIMITS, poolSize: 1 });
    const lease = await pool.acquire();
    void lease.discard();
    const next = follow(pool.acquire());
    await clock.advance(999);
    expect(next.now.state).toBe('pending');
    expect(pool.stats()).toMatchObject({ closing: 1, size: 1 });
    await clock.advance(1);
    expect(next.now.state).toBe('resolved');
    expect(pool.stats()).toMatchObject({ closing: 0, quarantined: 1 });
    driver.call('close').resolve();
    await clock.settle();
    expect(pool.stats().quarantined).toBe(0);
  });

  it('F47 does not keep the pool from closing', async () => {
    const { pool, clock } = fakePool({ close: { 1: 'hang', 2: 'hang' } }, { ...LIMITS, poolSize: 2 });
    await Promise.all([pool.get('SELECT 1'), pool.get('SELECT 2')]);
    const closed = follow(pool.close());
    await clock.advance(2 * LIMITS.operationTimeoutMs);
    expect(closed.now.state).toBe('resolved');
    expect(clock.pending).toBe(0);
  });

  it('F53 at a health check ends at operationTimeoutMs, and the acquire is served by another connection', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 2: 'hang' } }, { ...LIMITS, poolSize: 2 });
    await pool.get('SELECT 1');
    await clock.advance(500);
    const served = follow(pool.get('SELECT 2'));
    await clock.advance(LIMITS.operationTimeoutMs);
    // The connection that hangs holds its place until its close has timed out too; there is a second place.
    await clock.advance(LIMITS.operationTimeoutMs);
    expect(served.now.state).toBe('resolved');
    expect(driver.count('open')).toBe(2);
    expect(pool.stats()).toMatchObject({ evictions: { invalid: 1 }, quarantined: 1 });
  });

  it('F53 or fails for every connection is tried once per connection, and then others are opened', async () => {
    const sick = ({ method, sql, connection }: FakeCall) =>
      method === 'execute' && sql === 'SELECT 1' && connection <= 3
        ? { reject: new Error('sick') }
        : undefined;
    const { pool, driver, clock } = fakePool(sick, { ...LIMITS, poolSize: 3 });
    await Promise.all(['a', 'b', 'c'].map((name) => pool.get(`SELECT '${name}'`)));
    await clock.advance(500);
    await Promise.all(Array.from({ length: 20 }, () => pool.get('SELECT 2')));
    expect(driver.calls.filter(({ sql }) => sql === 'SELECT 1')).toHaveLength(3);
    expect(driver.count('open')).toBe(6);
    expect(pool.stats()).toMatchObject({ evictions: { invalid: 3 }, size: 3 });
  });

  it('F53 is not looked for where a connection was used a moment ago', async () => {
    const { pool, driver, clock } = fakePool({}, { ...LIMITS, poolSize: 1 });
    for (let n = 0; n < 100; n += 1) {
      await pool.get('SELECT 2');
      await clock.advance(499);
    }
    expect(driver.calls.filter(({ sql }) => sql === 'SELECT 1')).toEqual([]);
    await clock.advance(1);
    await pool.get('SELECT 2');
    expect(driver.calls.filter(({ sql }) => sql === 'SELECT 1')).toHaveLength(1);
  });

  it('F43 in an acquire that is left waiting is a timeout that says what it waited for', async () => {
    const { pool, clock } = fakePool({ execute: { 1: 'hang' } }, { ...LIMITS, poolSize: 1 });
    follow(pool.get('SELECT 1'));
    const waits = follow(pool.get('SELECT 2'));
    await clock.advance(30_000);
    expect(errorOf(waits)).toBeInstanceOf(AcquireTimeoutError);
    expect(errorOf(waits)).toMatchObject({ phase: 'wait', counts: { leased: 1, poolSize: 1 } });
  });
});

describe('a driver that does not say whether a transaction is open', () => {
  it('F43 F22 and hangs when it is asked to begin one costs its connection', async () => {
    const probe = ({ sql, nth }: FakeCall) => (sql === 'BEGIN' && nth > 1 ? ('hang' as const) : undefined);
    const fails = ({ sql }: FakeCall) => (sql === 'DELETE' ? { reject: new Error('disk') } : undefined);
    const fake = fakePool(
      (call) => probe(call) ?? fails(call),
      { ...LIMITS, poolSize: 1 },
      { without: ['inTransaction'] },
    );
    const { pool, driver, clock } = fake;
    const lease = await pool.acquire();
    await lease.run('BEGIN');
    await expect(lease.run('DELETE')).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    const asks = follow(lease.run('INSERT INTO t VALUES (1)'));
    await clock.advance(LIMITS.operationTimeoutMs);
    expect(errorOf(asks)).toMatchObject({ code: 'OPERATION_TIMEOUT' });
    void lease.release();
    await clock.advance(2 * LIMITS.operationTimeoutMs);
    expect(pool.stats()).toMatchObject({ quarantined: 1, size: 0 });
    expect(driver.calls.some(({ sql }) => sql.startsWith('INSERT'))).toBe(false);
    await checkCapacity(fake, 1, 0);
  });
});

describe('an engine', () => {
  const HOOKS = {
    open: async () => 1,
    validate: nothing,
    drain: nothing,
    close: nothing,
    abandon: () => undefined,
  };
  const SETTINGS = { ...LIMITS, poolSize: 1, minIdle: 1, maxWaiting: 1, idleTimeoutMs: Infinity };

  it('F49 that closes refuses newcomers, and a sweep opens nothing', async () => {
    const clock = fakeClock();
    const engine = new ResourcePool<number>({ ...SETTINGS, clock }, HOOKS);
    await engine.close();
    await expect(engine.acquire(untilCancelled(clock))).rejects.toBeInstanceOf(PoolClosedError);
    engine.sweep();
    await clock.settle();
    expect([engine.state, engine.history.opens, engine.size]).toEqual(['closed', 0, 0]);
  });

  it.for(['release', 'destroy'] as const)(
    'F47 that has given up on what is leased does not lease or close it again when it comes back by %s()',
    async (comesBack) => {
      const clock = fakeClock();
      let closes = 0;
      const close = async (): Promise<void> => void (closes += 1);
      const engine = new ResourcePool<number>({ ...SETTINGS, clock }, { ...HOOKS, close });
      const entry = await engine.acquire(untilCancelled(clock));
      const closed = engine.close();
      engine.giveUp();
      if (comesBack === 'release') engine.release(entry);
      else await engine.destroy(entry, 'discarded');
      await closed;
      expect([closes, engine.history.evictions.discarded]).toEqual([1, 1]);
    },
  );
});
