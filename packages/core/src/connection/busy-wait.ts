import { Cancelled } from './call-queue.ts';
import { limitOf, noTimeout, pause, type CancelToken, type Clock, type Limit } from '../waiting/deadline.ts';
import { isLocked } from '../driver-errors.ts';

/**
 * Pauses between two tries, as SQLite's own busy handler has them at its beginning, each of them made longer or shorter by
 * up to a half: two processes that met once must not meet at every try.
 */
const PAUSES_MS = [1, 2, 5, 10, 15, 20, 25] as const;
const LONGEST_PAUSE_MS = 25;

/** How long the lock of another process is waited for. */
export interface BusyWaitLimit {
  readonly clock: Clock;
  /** The moment at which waiting ends with SQLite's own answer. */
  readonly deadline: number;
  /** The limit of the call, which may end it before that. */
  readonly limit: Limit | undefined;
  /** Aborts when the turn on the connection is cancelled. */
  readonly cancelled: CancelToken;
}

/**
 * One wait for a lock that another process holds, in JavaScript: SQLite's busy handler would sleep in a thread of libuv,
 * and there are four of them for everything the process does.
 */
export class BusyWait {
  readonly #settings: BusyWaitLimit;
  #tries = 0;

  constructor(settings: BusyWaitLimit) {
    this.#settings = settings;
  }

  /** Pauses before the next try. Rejects with `error` when it is no lock or the time is up, or with a {@link Cancelled}. */
  async pause(error: unknown): Promise<void> {
    const { clock, deadline, limit, cancelled } = this.#settings;
    const left = deadline - clock.now();
    if (!isLocked(error) || left <= 0) throw error;
    const next = PAUSES_MS[this.#tries] ?? LONGEST_PAUSE_MS;
    this.#tries += 1;
    const own = limit ?? limitOf(clock, Infinity, noTimeout);
    const whole: Limit = { ...own, signals: [...own.signals, cancelled] };
    try {
      await pause(Math.min(left, next * (0.5 + Math.random())), whole);
    } catch (reason) {
      throw new Cancelled(reason);
    }
  }
}
