import { alreadyCut, watch, type Limit } from './deadline.ts';
import { PoolOverloadedError } from './errors.ts';

interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  stopWatching: () => void;
}

/**
 * Those who wait for something, first come first served. A waiter leaves the queue in the same step in which it is
 * settled, so it is settled exactly once, and keeps no timer and no listener afterwards.
 */
export class WaitQueue<T> {
  // A Set keeps the order of insertion and removes from the middle in constant time.
  readonly #waiters = new Set<Waiter<T>>();
  readonly #maxWaiting: number;

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
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a signal's reason is rethrown as it is
    if (cut !== undefined) return Promise.reject(cut.reason);
    if (this.#waiters.size >= this.#maxWaiting)
      return Promise.reject(new PoolOverloadedError(this.#maxWaiting));
    return new Promise<T>((resolve, reject) => {
      const waiter: Waiter<T> = { resolve, reject, stopWatching: () => undefined };
      this.#waiters.add(waiter);
      const giveUp = (reason: unknown): void => {
        this.#waiters.delete(waiter);
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as above
        reject(reason);
      };
      waiter.stopWatching = watch(limit, giveUp, () => this.#ahead(waiter));
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

  #ahead(waiter: Waiter<T>): number {
    let ahead = 0;
    for (const other of this.#waiters) {
      if (other === waiter) break;
      ahead += 1;
    }
    return ahead;
  }

  #takeFirst(): Waiter<T> | undefined {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      waiter.stopWatching();
      return waiter;
    }
    return undefined;
  }
}
