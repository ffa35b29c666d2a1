import type { Limit } from './deadline.ts';
import { WaitQueue } from './wait-queue.ts';

/**
 * Admits a limited number of holders and serves the waiters in the order of their arrival. A semaphore with one permit
 * per connection serializes the calls on it. One with one permit per database file serializes its writers.
 */
export class Semaphore {
  readonly #queue = new WaitQueue<number>();
  readonly #permits: number;
  #held = 0;
  #arrivals = 0;
  #changes = 0;
  readonly #onChange: (() => void)[] = [];

  constructor(permits: number = 1) {
    this.#permits = permits;
  }

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Whether a new caller has to wait. */
  get isFull(): boolean {
    return this.#held >= this.#permits;
  }

  /** How many callers have had to wait so far. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** How often the semaphore was acquired or released so far. */
  get changes(): number {
    return this.#changes;
  }

  /** Acquires a free permit. A newcomer never overtakes a waiter, because no permit is free while there are waiters. */
  tryAcquire(): boolean {
    if (this.isFull) return false;
    this.#held += 1;
    this.#changed();
    return true;
  }

  /** Calls `callback` at the next acquire or release. */
  onceChanged(callback: () => void): void {
    this.#onChange.push(callback);
  }

  /**
   * Acquires a permit as soon as one is free. Resolves to the value of {@link Semaphore.changes} at that moment.
   * Rejects when the limit is reached. `kind` is for {@link Semaphore.rejectAll}.
   */
  acquire(limit: Limit, kind?: string): Promise<number> {
    if (this.tryAcquire()) return Promise.resolve(this.#changes);
    this.#arrivals += 1;
    return this.#queue.wait(limit, kind);
  }

  /** Releases a permit. It passes to the first waiter. */
  release(): void {
    if (!this.#queue.serve(this.#changes + 1)) this.#held -= 1;
    this.#changed();
  }

  #changed(): void {
    this.#changes += 1;
    if (this.#onChange.length === 0) return;
    for (const callback of this.#onChange.splice(0)) callback();
  }

  /** Rejects all waiters, or all waiters of one kind, each with an error of its own. */
  rejectAll(why: () => unknown, kind?: string): void {
    this.#queue.rejectAll(why, kind);
  }
}
