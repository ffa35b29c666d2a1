import { createPool, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import {
  fakeClock,
  fakeDriver,
  type FakeClock,
  type FakeDriver,
  type FakeDriverOptions,
  type FakeScript,
} from '../../src/testing/index.ts';

/** A pool on a fake driver and a fake clock. */
export interface FakePool {
  readonly pool: SqlitePool;
  readonly driver: FakeDriver;
  readonly clock: FakeClock;
}

/** Makes one. */
export function fakePool(
  script: FakeScript = {},
  options: Omit<PoolOptions, 'driver' | 'clock'> = {},
  driverOptions: FakeDriverOptions = {},
): FakePool {
  const clock = fakeClock();
  const driver = fakeDriver(script, driverOptions);
  return { pool: createPool({ ...options, driver, clock }), driver, clock };
}

/** What became of a promise. */
export type Outcome<T> =
  | { readonly state: 'pending' }
  | { readonly state: 'resolved'; readonly value: T; readonly error?: never }
  | { readonly state: 'rejected'; readonly error: unknown };

/** Follows a promise, which is then allowed to reject. */
export function follow<T>(promise: Promise<T>): { now: Outcome<T> } {
  const seen: { now: Outcome<T> } = { now: { state: 'pending' } };
  promise.then(
    (value) => (seen.now = { state: 'resolved', value }),
    (error: unknown) => (seen.now = { state: 'rejected', error }),
  );
  return seen;
}

/** What a promise has rejected with; `undefined` if it has not. */
export function errorOf({ now }: { readonly now: Outcome<unknown> }): unknown {
  return now.state === 'rejected' ? now.error : undefined;
}

/** A promise that is settled by hand. */
export function byHand(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

const STEP_MS = 50;

/** Lets time pass until a promise settles; throws if `limitMs` are not enough. */
export async function settled<T>(
  clock: FakeClock,
  promise: Promise<T>,
  limitMs: number,
  what = 'a promise',
): Promise<Outcome<T>> {
  const seen = follow(promise);
  await clock.settle();
  for (let passed = 0; seen.now.state === 'pending'; passed += STEP_MS) {
    if (passed >= limitMs) throw new Error(`${what} has not settled after ${String(limitMs)} ms`);
    await clock.advance(STEP_MS);
  }
  return seen.now;
}

/**
 * Acquires as many leases as the pool has places, and releases them. Rejects if it does not get them; the call that
 * goes wrong may be one of its own, so it tries twice.
 */
export async function checkCapacity(
  { pool, clock }: FakePool,
  poolSize: number,
  limitMs: number,
): Promise<void> {
  for (let tries = 2; ; tries -= 1) {
    const acquires = Promise.allSettled(Array.from({ length: poolSize }, () => pool.acquire()));
    const ends = await settled(clock, acquires, limitMs, `an acquire of ${String(poolSize)}`);
    const results = ends.state === 'resolved' ? ends.value : [];
    for (const end of results) if (end.status === 'fulfilled') await end.value.release();
    const failed = results.find((end) => end.status === 'rejected');
    if (failed === undefined) return;
    if (tries === 1) throw failed.reason;
  }
}
