import { cancelReason, Follower, outsideCalls, type CancelToken, type Limit } from './deadline.ts';
import { PoolOverloadedError } from '../errors.ts';
import { LinkedList, type Listed, type Place } from './linked-list.ts';
import { failTogether } from './rejections.ts';

interface Waiter<T> extends Listed<Waiter<T>> {
  place: Place<Waiter<T>> | undefined;
  /** Those who wait, or those who fail together with it. */
  list: LinkedList<Waiter<T>>;
  readonly limit: Limit;
  readonly kind: string | undefined;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  /** What follows the signals of its limit. */
  followers: readonly Follower[];
}

const NOBODY: readonly Follower[] = [];
const isAborted = ({ aborted }: CancelToken): boolean => aborted;

/** Most waiters that are rejected in one turn of the event loop because their time is up. */
const MOST_LATE = 1000;

/** So many waiters are looked at in a tenth of a millisecond: after that long a millisecond is for something else. */
const LOOKED_AT_PER_MS = 10_000;

/**
 * Those who wait for something, first come first served. A waiter leaves the queue in the same step in which it is
 * settled, so it is settled exactly once, and keeps no listener afterwards.
 *
 * The queue has one timer, for the first deadline it knows of, because setting one for each waiter costs as much as
 * all the rest. It can be too early, when that waiter has left meanwhile; it then is set again. To find out for when, all who
 * wait are looked at: the longer the queue, the more seldom, so that this takes a tenth of the time at most.
 */
export class WaitQueue<T> {
  readonly #maxWaiting: number;
  readonly #onServed: ((waitedMs: number) => void) | undefined;
  #waiters = new LinkedList<Waiter<T>>();
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

  /**
   * Resolves when served; rejects when the limit is reached, or at once when too many wait already.
   *
   * @param kind - For {@link WaitQueue.rejectAll}.
   */
  wait(limit: Limit, kind?: string): Promise<T> {
    const cancelled = cancelReason(limit);
    if (cancelled !== undefined) return Promise.reject(cancelled.reason);
    if (this.#waiters.size >= this.#maxWaiting) {
      return Promise.reject(new PoolOverloadedError(this.#maxWaiting));
    }
    return new Promise<T>((resolve, reject) => {
      const list = this.#waiters;
      this.#add({ place: undefined, list, limit, kind, resolve, reject, followers: NOBODY });
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

  /**
   * Fails all who wait, or all of a kind, each with an error of its own. All of them leave the queue now; they are rejected in
   * several turns of the event loop if they are many.
   */
  rejectAll(why: () => unknown, kind?: string): void {
    const leaving = this.#waiters;
    this.#waiters = new LinkedList();
    if (kind !== undefined) this.#takeBack(leaving, kind);
    if (this.#waiters.size === 0) this.#disarm();
    failTogether({
      failNext: () => {
        const { first } = leaving;
        if (first === undefined) return false;
        this.#remove(first);
        first.reject(why());
        return true;
      },
    });
  }

  /** Those of another kind go on waiting. */
  #takeBack(leaving: LinkedList<Waiter<T>>, kind: string): void {
    for (let waiter = leaving.first; waiter !== undefined;) {
      const behind = waiter.place?.behind;
      if (waiter.kind !== kind) {
        leaving.delete(waiter);
        waiter.list = this.#waiters;
        this.#waiters.add(waiter);
      }
      waiter = behind;
    }
  }

  #takeFirst(): Waiter<T> | undefined {
    let { first } = this.#waiters;
    // Whoever follows a signal with many others is rejected later than it is aborted, and must get nothing meanwhile.
    for (; first?.limit.signals.some(isAborted) === true; first = this.#waiters.first) this.#waiters.shift();
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
    const onAbort = this.#abort.bind(this, waiter);
    waiter.followers = waiter.limit.signals.map((signal) => new Follower(signal, onAbort));
  }

  /** The reason is that of the first signal that is aborted, as it is where a wait begins. */
  #abort(waiter: Waiter<T>): void {
    this.#remove(waiter);
    waiter.reject(waiter.limit.signals.find(isAborted)?.reason);
  }

  #remove(waiter: Waiter<T>): void {
    waiter.list.delete(waiter);
    for (const follower of waiter.followers) follower.stop();
    if (this.#waiters.size === 0) this.#disarm();
  }

  #arm({ clock, deadline }: Limit, pauseMs = 0): void {
    this.#cancelTimer();
    this.#timerAt = deadline;
    const wake = (): void => {
      this.#timerAt = Infinity;
      this.#cutLate();
    };
    // It is the timer of all who wait.
    this.#cancelTimer = outsideCalls(() => clock.schedule(wake, Math.max(deadline - clock.now(), pauseMs)));
  }

  #disarm(): void {
    if (this.#timerAt === Infinity) return;
    this.#timerAt = Infinity;
    this.#cancelTimer();
  }

  /** Rejects those whose time is up, as many as may be at once, and sets the timer for the next. */
  #cutLate(): void {
    let ahead = 0;
    let late = 0;
    let next: Limit | undefined;
    for (let waiter = this.#waiters.first; waiter !== undefined;) {
      const { limit, reject, place } = waiter;
      const behind = place?.behind;
      const now = limit.clock.now();
      if (late === MOST_LATE) {
        // The others are looked at as soon as the event loop has gone on.
        this.#arm({ ...limit, deadline: now });
        return;
      }
      if (now >= limit.deadline) {
        late += 1;
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
    if (next !== undefined) this.#arm(next, Math.floor(this.#waiters.size / LOOKED_AT_PER_MS));
  }
}
