import { setImmediate } from 'node:timers';
import type { Clock } from '../waiting/deadline.ts';

/**
 * A clock that stands still until it is told to go on. See {@link fakeClock}.
 *
 * @example const clock: FakeClock = fakeClock();
 */
export interface FakeClock extends Clock {
  /**
   * Moves the time on by `ms`: runs each timer that comes due, in order, at its own moment, and lets every promise
   * that follows from it settle before the next.
   * @example await clock.advance(30_000);
   */
  advance(ms: number): Promise<void>;
  /**
   * The same in one tick, for races: no promise settles before all timers that come due have run.
   * @example clock.jump(30_000);
   */
  jump(ms: number): void;
  /**
   * Lets everything that needs no time happen: all promises that can settle in this turn of the event loop do. A pool tells many
   * callers of one COMMIT in several.
   * @example await clock.settle();
   */
  settle(): Promise<void>;
  /** Timers set and neither run nor cancelled. */
  readonly pending: number;
  /** Those of them that would keep a process alive. */
  readonly pendingForeground: number;
}

interface Timer {
  readonly due: number;
  readonly callback: () => void;
  readonly background: boolean;
}

/**
 * Makes a clock for tests: pass it as the pool's `clock`, and a wait of 30 seconds takes no time at all.
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

  /** Timers of one moment run in the order in which they were set, which is the order of the set. */
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

/** All microtasks, and all `process.nextTick` callbacks, run before an immediate does. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
