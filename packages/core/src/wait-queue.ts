import { alreadyCut, type Cancellation, type Limit } from './deadline.ts';
import { PoolOverloadedError } from './errors.ts';

/** One who waits, in a list: it leaves from the middle in constant time, and costs no more than itself. */
interface Waiter<T> {
  readonly limit: Limit;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  onAbort: ((this: Cancellation) => void) | undefined;
  before: Waiter<T> | undefined;
  behind: Waiter<T> | undefined;
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
  #first: Waiter<T> | undefined;
  #last: Waiter<T> | undefined;
  #size = 0;
  /** When the timer fires; `Infinity` without one. No deadline in the queue is earlier. */
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(maxWaiting: number = Infinity, onServed?: (waitedMs: number) => void) {
    this.#maxWaiting = maxWaiting;
    this.#onServed = onServed;
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Resolves when served; rejects when the limit is reached, or at once when too many wait already. */
  wait(limit: Limit): Promise<T> {
    const cut = alreadyCut(limit);
    if (cut !== undefined) return Promise.reject(cut.reason);
    if (this.#size >= this.#maxWaiting) {
      return Promise.reject(new PoolOverloadedError(this.#maxWaiting));
    }
    return new Promise<T>((resolve, reject) => {
      this.#add({ limit, resolve, reject, onAbort: undefined, before: this.#last, behind: undefined });
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
    const first = this.#first;
    if (first !== undefined) this.#remove(first);
    return first;
  }

  #add(waiter: Waiter<T>): void {
    const { limit, before } = waiter;
    if (limit.signals.length > 0) this.#listen(waiter);
    if (before === undefined) this.#first = waiter;
    else before.behind = waiter;
    this.#last = waiter;
    this.#size += 1;
    if (limit.deadline < this.#timerAt) this.#arm(limit);
  }

  #listen(waiter: Waiter<T>): void {
    const leave = (signal: Cancellation): void => {
      this.#remove(waiter);
      waiter.reject(signal.reason);
    };
    waiter.onAbort = function (this: Cancellation): void {
      leave(this);
    };
    for (const signal of waiter.limit.signals) signal.addEventListener('abort', waiter.onAbort);
  }

  #remove(waiter: Waiter<T>): void {
    const { limit, onAbort, before, behind } = waiter;
    if (before === undefined) this.#first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    // One that is gone, but not yet collected, would keep all that came after it from being collected.
    waiter.before = undefined;
    waiter.behind = undefined;
    this.#size -= 1;
    if (onAbort !== undefined)
      for (const signal of limit.signals) signal.removeEventListener('abort', onAbort);
    if (this.#size === 0) this.#disarm();
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
    let waiter = this.#first;
    while (waiter !== undefined) {
      const { limit, reject, behind } = waiter;
      if (limit.clock.now() >= limit.deadline) {
        // Made before it leaves, so that it counts itself.
        const error = limit.timeoutError(ahead);
        this.#remove(waiter);
        reject(error);
      } else {
        ahead += 1;
        if (limit.deadline < (next?.deadline ?? Infinity)) next = limit;
      }
      waiter = behind;
    }
    if (next !== undefined) this.#arm(next);
  }
}
