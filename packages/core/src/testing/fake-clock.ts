import { setImmediate } from 'node:timers';
import type { Clock } from '../waiting/deadline.ts';

/**
 * A clock that stands still until a test advances it. See {@link fakeClock}.
 *
 * @example const clock: FakeClock = fakeClock();
 */
export interface FakeClock extends Clock {
  /**
   * Advances the time by `ms` milliseconds. Runs each due timer in order, at its own time, and lets every promise that
   * follows from it settle before the next timer.
   * @example await clock.advance(30_000);
   */
  advance(ms: number): Promise<void>;
  /**
   * The same in one tick, for races: no promise settles before all due timers have run.
   * @example clock.jump(30_000);
   */
  jump(ms: number): void;
  /**
   * Lets everything happen that needs no time: all promises settle that can do so in this tick of the event loop. If a
   * COMMIT has many callers, the pool settles their promises in several ticks.
   * @example await clock.settle();
   */
  settle(): Promise<void>;
  /** The number of timers that have neither run nor been cancelled. */
  readonly pending: number;
  /** The number of these timers that would keep a process alive. */
  readonly pendingForeground: number;
}

interface Timer {
  readonly due: number;
  readonly callback: () => void;
  readonly background: boolean;
}

/**
 * Makes a clock for tests. Pass it as the pool's `clock`; then a wait of 30 seconds takes no time at all.
 *
 * @example
 * const clock = fakeClock();
 * const pool = createPool({ driver: fakeDriver({ open: { 1: 'hang' } }), clock });
 * const refused = assert.rejects(pool.acquire(), OperationTimeoutError);
 * await clock.advance(10_000);
 * await refused;
 */
export function fakeClock(): FakeClock {
  const timers = new Set<Timer>();
  let now = 0;

  /** Timers of the same time run in the order in which they were set, which is the order of the set. */
  const next = (until: number): Timer | undefined => {
    let first: Timer | undefined;
    for (const timer of timers)
      if (timer.due <= until && (first === undefined || timer.due < first.due)) first = timer;
    return first;
  };

  const run = (timer: Timer): void => {
    timers.delete(timer);
    now = Math.max(now, timer.due);
    timer.callback();
  };

  return {
    now: () => now,
    schedule(callback, delayMs, background = false) {
      const timer: Timer = { due: now + Math.max(0, delayMs), callback, background };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    async advance(ms) {
      const until = now + ms;
      await settle();
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        run(timer);
        await settle();
      }
      now = until;
    },
    jump(ms) {
      const until = now + ms;
      for (let timer = next(until); timer !== undefined; timer = next(until)) run(timer);
      now = until;
    },
    settle,
    get pending() {
      return timers.size;
    },
    get pendingForeground() {
      return [...timers].filter(({ background }) => !background).length;
    },
  };
}

/** All microtasks and all `process.nextTick` callbacks run before an immediate. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
