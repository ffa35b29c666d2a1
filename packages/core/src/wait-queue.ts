import { alreadyCut, type Limit } from './deadline.ts';
import { PoolOverloadedError } from './errors.ts';

interface Waiter<T> {
  readonly limit: Limit;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  readonly onAbort: (this: AbortSignal) => void;
}

/**
 * Those who wait for something, first come first served. A waiter leaves the queue in the same step in which it is
 * settled, so it is settled exactly once, and keeps no listener afterwards.
 *
 * The queue has one timer, for the first deadline it knows of, because setting one for each waiter costs as much as
 * all the rest. It can be too early, when that waiter has left meanwhile; it then is set again.
 */
export class WaitQueue<T> {
  // A Set keeps the order of insertion and removes from the middle in constant time.
  readonly #waiters = new Set<Waiter<T>>();
  readonly #maxWaiting: number;
  /** When the timer fires; `Infinity` without one. No deadline in the queue is earlier. */
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(maxWaiting: number = Infinity) {
    this.#maxWaiting = maxWaiting;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Resolves when served; rejects when the limit is reached, or at once when too many wait already. */
  wait(limit: Limit): Promise<T> {
    const cut = alreadyCut(limit);
    if (cut !== undefined) return Promise.reject(cut.reason);
    if (this.#waiters.size >= this.#maxWaiting) {
      return Promise.reject(new PoolOverloadedError(this.#maxWaiting));
    }
    return new Promise<T>((resolve, reject) => {
      const leave = (signal: AbortSignal): void => {
        this.#remove(waiter);
        reject(signal.reason);
      };
      const onAbort = function (this: AbortSignal): void {
        leave(this);
      };
      const waiter: Waiter<T> = { limit, resolve, reject, onAbort };
      this.#add(waiter);
    });
  }

  /** Gives `value` to whoever has waited the longest; `false` if nobody waits. */
  serve(value: T): boolean {
    const waiter = this.#takeFirst();
    waiter?.resolve(value);
    return waiter !== undefined;
  }

  /** Fails whoever has waited the longest; `false` if nobody waits. */
  fail(error: unknown): boolean {
    const waiter = this.#takeFirst();
    waiter?.reject(error);
    return waiter !== undefined;
  }

  #takeFirst(): Waiter<T> | undefined {
    for (const waiter of this.#waiters) {
      this.#remove(waiter);
      return waiter;
    }
    return undefined;
  }

  #add(waiter: Waiter<T>): void {
    const { limit, onAbort } = waiter;
    for (const signal of limit.signals) signal.addEventListener('abort', onAbort);
    this.#waiters.add(waiter);
    if (limit.deadline < this.#timerAt) this.#arm(limit);
  }

  #remove(waiter: Waiter<T>): void {
    const { limit, onAbort } = waiter;
    this.#waiters.delete(waiter);
    for (const signal of limit.signals) signal.removeEventListener('abort', onAbort);
    if (this.#waiters.size === 0) this.#disarm();
  }

  #arm({ clock, deadline }: Limit): void {
    this.#cancelTimer();
    this.#timerAt = deadline;
    this.#cancelTimer = clock.schedule(() => {
      this.#timerAt = Infinity;
      this.#cutLate();
    }, deadline - clock.now());
  }

  #disarm(): void {
    if (this.#timerAt === Infinity) return;
    this.#timerAt = Infinity;
    this.#cancelTimer();
  }

  /** Rejects those whose time is up, and sets the timer for the next. */
  #cutLate(): void {
    let ahead = 0;
    let next: Limit | undefined;
    for (const waiter of this.#waiters) {
      const { limit, reject } = waiter;
      if (limit.clock.now() >= limit.deadline) {
        // Made before it leaves, so that it counts itself.
        const error = limit.timeoutError(ahead);
        this.#remove(waiter);
        reject(error);
      } else {
        ahead += 1;
        if (limit.deadline < (next?.deadline ?? Infinity)) next = limit;
      }
    }
    if (next !== undefined) this.#arm(next);
  }
}
