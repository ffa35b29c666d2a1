import { alreadyCut, type Limit } from './deadline.ts';
import { PoolOverloadedError } from './errors.ts';
import { LinkedList, type Listed } from './linked-list.ts';

interface Waiter<T> extends Listed<Waiter<T>> {
  readonly limit: Limit;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  onAbort: (() => void) | undefined;
}

/**
 * Those who wait for something, first come first served. A waiter leaves the queue in the same step in which it is
 * settled, so it is settled exactly once, and keeps no listener afterwards.
 *
 * The queue has one timer, for the first deadline it knows of, because setting one for each waiter costs as much as
 * all the rest. It can be too early, when that waiter has left meanwhile; it then is set again.
 */
export class WaitQueue<T> {
  readonly #maxWaiting: number;
  readonly #onServed: ((waitedMs: number) => void) | undefined;
  readonly #waiters = new LinkedList<Waiter<T>>();
  /** When the timer fires; `Infinity` without one. No deadline in the queue is earlier. */
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(maxWaiting: number = Infinity, onServed?: (waitedMs: number) => void) {
    this.#maxWaiting = maxWaiting;
    this.#onServed = onServed;
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
      this.#add({ limit, resolve, reject, onAbort: undefined, place: undefined });
    });
  }

  /** Gives `value` to whoever has waited the longest; `false` if nobody waits. */
  serve(value: T): boolean {
    const waiter = this.#takeFirst();
    if (waiter === undefined) return false;
    const { clock, since } = waiter.limit;
    this.#onServed?.(clock.now() - since);
    waiter.resolve(value);
    return true;
  }

  /** Fails whoever has waited the longest; `false` if nobody waits. */
  fail(error: unknown): boolean {
    const waiter = this.#takeFirst();
    waiter?.reject(error);
    return waiter !== undefined;
  }

  #takeFirst(): Waiter<T> | undefined {
    const { first } = this.#waiters;
    if (first !== undefined) this.#remove(first);
    return first;
  }

  #add(waiter: Waiter<T>): void {
    const { limit } = waiter;
    if (limit.signals.length > 0) this.#listen(waiter);
    this.#waiters.add(waiter);
    if (limit.deadline < this.#timerAt) this.#arm(limit);
  }

  #listen(waiter: Waiter<T>): void {
    // Bound, because V8 moves what a closure made here refers to to the old generation with it: benchmarks/test/hot-path.test.ts.
    waiter.onAbort = this.#abort.bind(this, waiter);
    for (const signal of waiter.limit.signals) signal.addEventListener('abort', waiter.onAbort);
  }

  /** The reason is that of the first signal that is aborted, as it is where a wait begins. */
  #abort(waiter: Waiter<T>): void {
    this.#remove(waiter);
    waiter.reject(waiter.limit.signals.find(({ aborted }) => aborted)?.reason);
  }

  #remove(waiter: Waiter<T>): void {
    const { limit, onAbort } = waiter;
    this.#waiters.delete(waiter);
    if (onAbort !== undefined)
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
    for (const waiter of this.#waiters.toArray()) {
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
