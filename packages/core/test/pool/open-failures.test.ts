import { describe, expect, it } from 'vitest';
import {
  AcquireTimeoutError,
  createPool,
  OpenError,
  OperationTimeoutError,
  PoolClosedError,
  type Connection,
} from '../../src/index.ts';
import type { BasicConnection } from '../../src/driver.ts';
import { fakeClock, fakeDriver } from '../../src/testing/index.ts';
import { byHand, checkCapacity, errorOf, fakePool, follow } from './support.ts';

const DISK = new Error('disk');
const NEVER = (): Promise<never> => Promise.reject(DISK);

describe('an open that fails', () => {
  it('F01 fails the acquire that waited for it, with its cause, and the next one is served', async () => {
    const { pool, driver, clock } = fakePool({ open: { 1: { reject: DISK } } }, { poolSize: 1 });
    const first = follow(pool.acquire());
    const second = follow(pool.acquire());
    await clock.settle();
    expect(first.now).toMatchObject({ state: 'rejected', error: { code: 'OPEN_FAILED', cause: DISK } });
    expect(second.now.state).toBe('resolved');
    expect(driver.count('open')).toBe(2);
    expect(pool.stats()).toMatchObject({ size: 1, leased: 1, opening: 0, waiting: 0, openFailures: 1 });
  });

  it('F01 fails nobody while enough other connections are on their way', async () => {
    const { pool, driver, clock } = fakePool({ open: { 1: 'hang', 2: 'hang' } }, { poolSize: 2 });
    const controller = new AbortController();
    const gone = follow(pool.acquire({ signal: controller.signal }));
    const stays = follow(pool.acquire());
    controller.abort();
    driver.call('open', 1).reject(DISK);
    await clock.settle();
    expect(gone.now.state).toBe('rejected');
    expect(stays.now.state).toBe('pending');
    driver.call('open', 2).resolve();
    await clock.settle();
    expect(stays.now.state).toBe('resolved');
    expect(driver.count('open')).toBe(2);
  });

  it('F02 that never succeeds is tried once per acquire, and not again and again', async () => {
    const { pool, driver, clock } = fakePool(
      ({ method }) => (method === 'open' ? { reject: DISK } : undefined),
      {
        poolSize: 3,
      },
    );
    const all = await Promise.allSettled(Array.from({ length: 50 }, () => pool.acquire()));
    expect(all.every((end) => end.status === 'rejected' && end.reason instanceof OpenError)).toBe(true);
    expect(driver.count('open')).toBe(50);
    await clock.advance(10_000);
    expect(driver.count('open')).toBe(50);
    expect(pool.stats()).toMatchObject({ size: 0, waiting: 0, openFailures: 50 });
  });

  it('F02 is the cause of the timeout of an acquire behind it', async () => {
    const { pool, clock } = fakePool({ open: { 2: { reject: DISK }, 3: 'hang' } }, { poolSize: 2 });
    const lease = await pool.acquire();
    await expect(pool.acquire()).rejects.toBeInstanceOf(OpenError);
    const late = follow(pool.acquire({ timeoutMs: 100 }));
    await clock.advance(100);
    expect(late.now).toMatchObject({
      state: 'rejected',
      error: { code: 'ACQUIRE_TIMEOUT', cause: { cause: DISK } },
    });
    await lease.release();
  });

  it('F03 by throwing instead of rejecting is a failed open like any other', async () => {
    const { pool } = fakePool({ open: { 1: { throw: DISK } } }, { poolSize: 1 });
    await expect(pool.acquire()).rejects.toMatchObject({ code: 'OPEN_FAILED', cause: DISK });
    await expect(pool.acquire()).resolves.toBeDefined();
  });

  it('F04 by hanging rejects at operationTimeoutMs, and its place is free again', async () => {
    const { pool, driver, clock } = fakePool(
      { open: { 1: 'hang' } },
      { poolSize: 1, operationTimeoutMs: 1000 },
    );
    const first = follow(pool.acquire());
    await clock.advance(999);
    expect(first.now.state).toBe('pending');
    await clock.advance(1);
    expect(errorOf(first)).toBeInstanceOf(OperationTimeoutError);
    await expect(pool.acquire()).resolves.toBeDefined();
    expect(driver.count('open')).toBe(2);
    expect(pool.stats()).toMatchObject({ size: 1, quarantined: 1 });
  });

  it('F05 and then succeeds after its time-out is closed once and never leased', async () => {
    const fake = fakePool({ open: { 1: 'hang' } }, { poolSize: 1, operationTimeoutMs: 1000 });
    const { pool, driver, clock } = fake;
    const first = follow(pool.acquire());
    await clock.advance(1000);
    expect(first.now.state).toBe('rejected');
    driver.call('open', 1).resolve();
    await clock.settle();
    expect(
      driver.calls.filter(({ method }) => method === 'close').map(({ connection }) => connection),
    ).toEqual([1]);
    expect(pool.stats()).toMatchObject({ size: 0, quarantined: 0 });
    await checkCapacity(fake, 1, 0);
    expect(driver.openConnections).toBe(1);
  });

  it('F06 or succeeds while the pool closes is closed, and close() waits for that', async () => {
    const { pool, driver, clock } = fakePool({ open: { 1: 'hang' }, close: { 1: 'hang' } });
    const acquired = follow(pool.acquire());
    const closed = follow(pool.close());
    await clock.settle();
    expect(errorOf(acquired)).toBeInstanceOf(PoolClosedError);
    driver.call('open').resolve();
    await clock.settle();
    expect(closed.now.state).toBe('pending');
    driver.call('close').resolve();
    await clock.settle();
    expect(closed.now.state).toBe('resolved');
    expect(driver.openConnections).toBe(0);
  });

  it.for(['rejects', 'throws'] as const)(
    'F07 F52 because onConnect %s closes the connection, surfaces the error and frees the place',
    async (how) => {
      const bad = Object.assign(new Error('no such function'), { errno: 1 });
      let calls = 0;
      const onConnect = (): Promise<void> => {
        calls += 1;
        if (calls > 1) return Promise.resolve();
        if (how === 'throws') throw bad;
        return Promise.reject(bad);
      };
      const { pool, driver } = fakePool({}, { poolSize: 1, onConnect });
      const error: unknown = await pool.acquire().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(OpenError);
      expect((error as OpenError).cause).toBe(bad);
      expect(driver.openConnections).toBe(0);
      await expect(pool.acquire()).resolves.toBeDefined();
    },
  );

  it('F07 because onConnect hangs rejects at operationTimeoutMs, and is closed when onConnect returns', async () => {
    const { promise, resolve } = byHand();
    let first: Promise<void> | undefined = promise;
    const { pool, driver, clock } = fakePool(
      {},
      {
        poolSize: 1,
        operationTimeoutMs: 1000,
        onConnect: () => {
          const waits = first ?? Promise.resolve();
          first = undefined;
          return waits;
        },
      },
    );
    const refused = follow(pool.acquire());
    await clock.advance(1000);
    expect(errorOf(refused)).toBeInstanceOf(OperationTimeoutError);
    await expect(pool.acquire()).resolves.toBeDefined();
    resolve();
    await clock.settle();
    expect(driver.openConnections).toBe(1);
    expect(pool.stats().quarantined).toBe(0);
  });

  it('F50 in the background, for minIdle, is counted and tried again at the next sweep', async () => {
    const { pool, driver, clock } = fakePool({ open: { 2: { reject: DISK } } }, { poolSize: 2, minIdle: 2 });
    await pool.open();
    await clock.settle();
    expect(pool.stats()).toMatchObject({ idle: 1, openFailures: 1 });
    await clock.advance(1000);
    expect(pool.stats()).toMatchObject({ idle: 2, openFailures: 1 });
    expect(driver.count('open')).toBe(3);
  });

  it('F04 does not keep an acquire from an idle connection that was opened for someone who has left', async () => {
    const { pool, driver, clock } = fakePool(
      { open: { 2: 'hang' } },
      { poolSize: 2, validateAfterIdleMs: 0 },
    );
    const lease = await pool.acquire();
    const controller = new AbortController();
    const gone = follow(pool.acquire({ signal: controller.signal }));
    controller.abort();
    await lease.release();
    await clock.advance(1);
    expect(gone.now.state).toBe('rejected');
    await expect(pool.acquire()).resolves.toBeDefined();
    expect(driver.count('open')).toBe(2);
  });

  it('ends in an AcquireTimeoutError, not in an OperationTimeoutError, where the acquire has less time', async () => {
    const { pool, clock } = fakePool({ open: { 1: 'hang' } });
    const refused = follow(pool.acquire({ timeoutMs: 50 }));
    await clock.advance(50);
    expect(errorOf(refused)).toBeInstanceOf(AcquireTimeoutError);
  });

  it.for(['at operationTimeoutMs', 'when the pool closes'])(
    'F75 is aborted %s, and what it opens late is closed without onConnect',
    async (when) => {
      const clock = fakeClock();
      const driver = fakeDriver({ open: { 1: 'hang' } });
      const signals: AbortSignal[] = [];
      const connected: unknown[] = [];
      const open = (signal?: AbortSignal): Promise<Connection> => {
        if (signal !== undefined) signals.push(signal);
        return driver.open();
      };
      const pool = createPool({
        driver: { ...driver, open },
        clock,
        poolSize: 1,
        operationTimeoutMs: 1000,
        onConnect: (connection) => void connected.push(connection),
      });
      const refused = follow(pool.acquire());
      await clock.settle();
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      const closes = when === 'when the pool closes';
      const closed = closes ? follow(pool.close()) : undefined;
      await clock.advance(closes ? 0 : 1000);
      const reason = closes ? PoolClosedError : OperationTimeoutError;
      expect(errorOf(refused)).toBeInstanceOf(reason);
      expect(signals[0]?.reason).toBeInstanceOf(reason);
      driver.call('open', 1).resolve();
      await clock.settle();
      expect(closed?.now.state).toBe(closes ? 'resolved' : undefined);
      expect([driver.count('close'), driver.openConnections]).toEqual([1, 0]);
      expect(connected).toEqual([]);
      expect(pool.stats()).toMatchObject({ size: 0, quarantined: 0 });
      await pool.close();
      expect(clock.pending).toBe(0);
    },
  );

  it('F75 is not aborted once it has succeeded', async () => {
    const driver = fakeDriver();
    const signals: (AbortSignal | undefined)[] = [];
    const open = (signal?: AbortSignal): Promise<Connection> => {
      signals.push(signal);
      return driver.open();
    };
    const pool = createPool({ driver: { ...driver, open }, clock: fakeClock() });
    await pool.get('SELECT 1');
    await pool.close();
    expect(signals.map((signal) => signal?.aborted)).toEqual([false]);
  });

  it.for([
    { what: 'nothing', opened: undefined, missing: 'execute()' },
    { what: 'null', opened: null, missing: 'execute()' },
    {
      what: 'something that cannot be closed',
      opened: { execute: NEVER, rollback: NEVER },
      missing: 'close()',
    },
  ])('by resolving to $what says what is missing, and loses no place', async ({ opened, missing }) => {
    const good: BasicConnection = {
      execute: () => Promise.resolve({ rows: [], columns: [], changes: 0, lastInsertRowid: 0 }),
      rollback: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    let opens = 0;
    // What JavaScript would let pass.
    const connectionFactory = () => ((opens += 1) > 4 ? good : (opened as unknown as BasicConnection));
    const pool = createPool({ connectionFactory, poolSize: 2 });
    for (let tries = 0; tries < 4; tries += 1)
      await expect(pool.get('SELECT 1')).rejects.toMatchObject({
        code: 'OPEN_FAILED',
        message: expect.stringContaining(missing) as unknown,
      });
    expect(pool.stats()).toMatchObject({ size: 0, leased: 0, openFailures: 4 });
    const leases = await Promise.all([pool.acquire(), pool.acquire()]);
    await Promise.all(leases.map((lease) => lease.release()));
    await pool.close();
  });
});
