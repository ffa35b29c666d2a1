import { cancelReason, Follower, outsideCalls, type CancelToken, type Limit } from './deadline.ts';
import { LinkedList, type Listed, type Place } from './linked-list.ts';
import { failTogether } from './rejections.ts';

interface Waiter<T> extends Listed<Waiter<T>> {
  place: Place<Waiter<T>> | undefined;
  /** The list that this waiter is in: the queue, or the waiters that are rejected together with it. */
  list: LinkedList<Waiter<T>>;
  readonly limit: Limit;
  readonly kind: string | undefined;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
  /** The followers of the signals of its limit. */
  followers: readonly Follower[];
}

const NO_FOLLOWERS: readonly Follower[] = [];
const isAborted = ({ aborted }: CancelToken): boolean => aborted;

/** How many waiters may be rejected for their deadline in one tick of the event loop. */
const MAX_LATE_PER_TICK = 1000;

/** The queue checks this many waiters in a tenth of a millisecond. After each such check it pauses for a millisecond. */
const CHECKED_PER_MS = 10_000;

/**
 * Waiters in the order of their arrival. A waiter leaves the queue in the same step in which it is settled. So it is
 * settled exactly once, and leaves no listener behind.
 *
 * The queue has one timer, for the earliest deadline it knows, because one timer for each waiter costs as much as all
 * the rest. The timer is too early when that waiter has left in the meantime; the queue then sets it again. For that it
 * checks the deadline of every waiter. The longer the queue, the less often it does so, so that the checks take at most
 * a tenth of the time.
 */
export class WaitQueue<T> {
  readonly #onServed: ((waitedMs: number) => void) | undefined;
  #waiters = new LinkedList<Waiter<T>>();
  /** When the timer fires; `Infinity` without a timer. No deadline in the queue is earlier. */
  #timerAt = Infinity;
  #cancelTimer: () => void = () => undefined;

  constructor(onServed?: (waitedMs: number) => void) {
    this.#onServed = onServed;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves when the waiter is served. Rejects when the limit is reached. The owner of the queue decides how many may wait.
   *
   * @param kind - For {@link WaitQueue.rejectAll}.
   */
  wait(limit: Limit, kind?: string): Promise<T> {
    const cancelled = cancelReason(limit);
    if (cancelled !== undefined) return Promise.reject(cancelled.reason);
    return new Promise<T>((resolve, reject) => {
      const list = this.#waiters;
      this.#add({ place: undefined, list, limit, kind, resolve, reject, followers: NO_FOLLOWERS });
    });
  }

  /** Resolves the oldest waiter with `value`. Returns `false` if there is no waiter. */
  serve(value: T): boolean {
    const waiter = this.#takeFirst();
    if (waiter === undefined) return false;
    const { clock, since } = waiter.limit;
    this.#onServed?.(clock.now() - since);
    waiter.resolve(value);
    return true;
  }

  /** Rejects the oldest waiter. Returns `false` if there is no waiter. */
  fail(error: unknown): boolean {
    const waiter = this.#takeFirst();
    waiter?.reject(error);
    return waiter !== undefined;
  }

  /**
   * Rejects all waiters, or all waiters of one kind, each with an error of its own. They leave the queue now. If there
   * are many, the queue rejects them in several ticks of the event loop.
   */
  rejectAll(why: () => unknown, kind?: string): void {
    const leaving = this.#waiters;
    this.#waiters = new LinkedList();
    if (kind !== undefined) this.#returnOthers(leaving, kind);
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

  /** Returns the waiters of other kinds to the queue. */
  #returnOthers(leaving: LinkedList<Waiter<T>>, kind: string): void {
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
    // An aborted signal with many followers rejects some of its waiters in a later tick. Do not serve those in the
    // meantime.
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
    // `bind` instead of a closure: V8 would move what the closure refers to into the old generation together with the
    // closure, see benchmarks/test/hot-path.test.ts.
    const onAbort = this.#abort.bind(this, waiter);
    waiter.followers = waiter.limit.signals.map((signal) => new Follower(signal, onAbort));
  }

  /** Uses the reason of the first aborted signal in the list, as `cancelReason` does at the start of a wait. */
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
      this.#rejectLate();
    };
    // The timer serves all waiters, so it belongs to the context of no call.
    this.#cancelTimer = outsideCalls(() => clock.schedule(wake, Math.max(deadline - clock.now(), pauseMs)));
  }

  #disarm(): void {
    if (this.#timerAt === Infinity) return;
    this.#timerAt = Infinity;
    this.#cancelTimer();
  }

  /**
   * Rejects the waiters that have reached their deadline, at most MAX_LATE_PER_TICK at once. Then sets the timer for the next
   * deadline.
   */
  #rejectLate(): void {
    let ahead = 0;
    let late = 0;
    let next: Limit | undefined;
    for (let waiter = this.#waiters.first; waiter !== undefined;) {
      const { limit, reject, place } = waiter;
      const behind = place?.behind;
      const now = limit.clock.now();
      if (late === MAX_LATE_PER_TICK) {
        // Checks the remaining waiters in the next tick of the event loop.
        this.#arm({ ...limit, deadline: now });
        return;
      }
      if (now >= limit.deadline) {
        late += 1;
        // Made before the waiter leaves, so that the counts in the error include it.
        const error = limit.timeoutError(ahead);
        this.#remove(waiter);
        reject(error);
      } else {
        ahead += 1;
        if (limit.deadline < (next?.deadline ?? Infinity)) next = limit;
      }
      waiter = behind;
    }
    if (next !== undefined) this.#arm(next, Math.floor(this.#waiters.size / CHECKED_PER_MS));
  }
}
