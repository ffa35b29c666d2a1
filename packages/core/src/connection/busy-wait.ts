import { Cancelled } from './call-queue.ts';
import { pause, untilCancelled, type CancelToken, type Clock, type Limit } from '../waiting/deadline.ts';
import { isLocked } from '../driver-errors.ts';

/**
 * The pauses between two tries. They are those at the beginning of SQLite's own busy handler, each made longer or
 * shorter by up to a half. Otherwise two processes that met once would meet at every try.
 */
const PAUSES_MS = [1, 2, 5, 10, 15, 20, 25] as const;
const LONGEST_PAUSE_MS = 25;

/** How long a statement waits for the lock of another process. */
export interface BusyWaitLimit {
  readonly clock: Clock;
  /** The time at which the wait ends with SQLite's own error. */
  readonly deadline: number;
  /** The limit of the call, which may end the wait earlier. */
  readonly limit: Limit | undefined;
  /** Aborts when the holder of the connection's lock is cancelled. */
  readonly cancelled: CancelToken;
}

/**
 * One wait for a lock that another process holds, in JavaScript. SQLite's busy handler would sleep in the thread that
 * runs the statement, and there are few threads.
 */
export class BusyWait {
  readonly #settings: BusyWaitLimit;
  #tries = 0;

  constructor(settings: BusyWaitLimit) {
    this.#settings = settings;
  }

  /**
   * Pauses before the next try. Rejects with `error` if it is not about a lock or the time is over, or with a
   * {@link Cancelled}.
   */
  async pause(error: unknown): Promise<void> {
    const { clock, deadline, limit, cancelled } = this.#settings;
    const left = deadline - clock.now();
    if (!isLocked(error) || left <= 0) throw error;
    const next = PAUSES_MS[this.#tries] ?? LONGEST_PAUSE_MS;
    this.#tries += 1;
    const own = limit ?? untilCancelled(clock);
    const whole: Limit = { ...own, signals: [...own.signals, cancelled] };
    try {
      await pause(Math.min(left, next * (0.5 + Math.random())), whole);
    } catch (reason) {
      throw new Cancelled(reason);
    }
  }
}
