import { describe, expect, it } from 'vitest';
import { createPool, type Queryable, type SqlitePool } from '../../src/index.ts';
import { errorOf, fakePool, follow, type Outcome } from './support.ts';

const CALLS = 80_000;

/** Of a timer or a promise, nothing runs between two of these. */
const onTick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Makes calls, some in each tick of the event loop, and says how many of them failed in one tick at most. */
class Crowd {
  readonly #all: Promise<unknown>[] = [];
  readonly #inTick: number[] = [];
  #tick = 0;
  #state: 'making' | 'over' = 'making';

  async make(call: (at: number) => Promise<unknown>): Promise<this> {
    this.#count();
    for (let at = 0; at < CALLS; at += 1) {
      this.#all.push(
        call(at).catch(() => {
          this.#inTick[this.#tick] = (this.#inTick[this.#tick] ?? 0) + 1;
        }),
      );
      if (at % 1000 === 999) await onTick();
    }
    return this;
  }

  #count(): void {
    this.#tick += 1;
    if (this.#state === 'making') setImmediate(() => this.#count());
  }

  async mostInOneTurn(): Promise<number> {
    await Promise.all(this.#all);
    this.#state = 'over';
    return Math.max(...Object.values(this.#inTick));
  }
}

const run = (db: Queryable) => (at: number) => db.run('DELETE FROM t WHERE a = ?', [at]);

/** A pool that answers in the next tick of the event loop, and says how many milliseconds pass until it has answered all. */
function quickPool(): SqlitePool {
  const nothing = { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
  return createPool({
    maxWaiting: Infinity,
    connectionFactory: () => ({
      execute: async () => {
        await onTick();
        return nothing;
      },
      rollback: onTick,
      close: onTick,
      inTransaction: () => false,
    }),
  });
}

/** Those that wait, and the one that runs. */
const MOST = 1001;

const hangs = { execute: { 1: 'hang' } } as const;

describe('eighty thousand calls', { timeout: 60_000 }, () => {
  it('F76 on one transaction take a time that grows with their number, and not with its square', async () => {
    await using pool = quickPool();
    const timed = async (count: number): Promise<number> =>
      await pool.transaction(async (tx) => {
        const since = performance.now();
        await Promise.all(Array.from({ length: count }, (_, at) => tx.get('SELECT ?', [at])));
        return performance.now() - since;
      });
    await timed(CALLS / 8);
    const few = await timed(CALLS / 8);
    const many = await timed(CALLS);
    // Sixty-four times as long if it were the square; the machine may be busier now than it was for the few.
    expect(many / few).toBeLessThan(24);
  });

  it('F76 that a revoke ends leave the queue at once, and fail in many ticks of the event loop', async () => {
    const { pool, driver, clock } = fakePool(hangs, { maxWaiting: Infinity });
    const lease = await pool.acquire();
    const crowd = await new Crowd().make(run(lease));
    const since = performance.now();
    const revoked = lease.revoke();
    expect(performance.now() - since).toBeLessThan(500);
    driver.call('execute').resolve();
    expect(await crowd.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    await revoked;
    await expect(pool.get('SELECT 1')).resolves.toBeUndefined();
    expect([driver.count('execute'), clock.pendingForeground]).toEqual([2, 0]);
    await pool.close();
  });

  it('F76 that the end of their transaction ends fail in many ticks of the event loop, behind its rollback', async () => {
    const { pool, driver } = fakePool({ execute: { 2: 'hang' } }, { maxWaiting: Infinity });
    const crowd = new Crowd();
    const transaction = pool.transaction(async (tx) => {
      await crowd.make(run(tx));
      setImmediate(() => driver.call('execute', 2).resolve());
      throw new Error('given up');
    });
    await expect(transaction).rejects.toThrow('given up');
    expect(await crowd.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    expect([driver.count('rollback'), driver.count('execute')]).toEqual([1, 2]);
    await pool.close();
  });

  it('F76 that one signal aborts fail in many ticks of the event loop, and none of them runs', async () => {
    const { pool, driver } = fakePool(hangs, { maxWaiting: Infinity });
    const lease = await pool.acquire();
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const since = performance.now();
    const crowd = await new Crowd().make((at) => lease.get('SELECT ?', [at], options));
    // Node.js itself takes half a minute to add as many listeners to one signal.
    expect(performance.now() - since).toBeLessThan(10_000);
    controller.abort(new Error('gone'));
    driver.call('execute').resolve();
    expect(await crowd.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    expect(driver.count('execute')).toBe(1);
    await lease.release();
    await pool.close();
  });

  it('F76 whose time is up fail in many ticks of the event loop', async () => {
    const { pool, driver, clock } = fakePool(hangs, { maxWaiting: Infinity, poolSize: 1 });
    const lease = await pool.acquire();
    const calls = await new Crowd().make((at) => lease.get('SELECT ?', [at], { timeoutMs: 1000 + (at % 7) }));
    const acquires = await new Crowd().make(() => pool.acquire({ timeoutMs: 1000 }));
    await clock.advance(1100);
    expect(await calls.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    expect(await acquires.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    driver.call('execute').resolve();
    await lease.release();
    await pool.close();
  });

  it('F76 that wait to write when the pool closes fail in many ticks of the event loop', async () => {
    const { pool } = fakePool({}, { maxWaiting: Infinity, poolSize: 2 });
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const crowd = await new Crowd().make(run(pool));
    const closed = pool.close();
    await lease.release();
    expect(await crowd.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    await closed;
  });

  it('F76 that wait for a connection when the pool closes fail in many ticks of the event loop', async () => {
    const { pool } = fakePool({}, { maxWaiting: Infinity, poolSize: 1 });
    const lease = await pool.acquire();
    const crowd = await new Crowd().make(() => pool.acquire());
    const closed = pool.close();
    expect(pool.stats().waiting).toBe(0);
    expect(await crowd.mostInOneTurn()).toBeLessThanOrEqual(MOST);
    await lease.release();
    await closed;
  });
});

describe('the queue of one connection', () => {
  it('F76 F15 refuses one call more than maxWaiting at once, but nothing that ends a transaction', async () => {
    const { pool, driver, clock } = fakePool({ execute: { 2: 'hang' } }, { maxWaiting: 3 });
    const calls: { now: Outcome<unknown> }[] = [];
    const transaction = follow(
      pool.transaction((tx) => {
        for (let at = 0; at < 5; at += 1) calls.push(follow(tx.get('SELECT ?', [at])));
      }),
    );
    await clock.settle();
    expect(calls.map(({ now }) => now.state)).toEqual([...Array<string>(4).fill('pending'), 'rejected']);
    const refused = errorOf(calls[4]!);
    expect(refused).toMatchObject({ code: 'POOL_OVERLOADED', statusCode: 503 });
    expect(String(refused)).toContain('3 calls of its lease or transaction wait already (maxWaiting)');
    driver.call('execute', 2).resolve();
    await clock.settle();
    expect(transaction.now.state).toBe('resolved');
    expect(driver.calls.at(-1)).toMatchObject({ sql: 'COMMIT' });
    await pool.close();
  });
});
