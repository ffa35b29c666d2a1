import type { Limit } from './deadline.ts';
import { WaitQueue } from './wait-queue.ts';

/**
 * Lets a number of holders in at a time, the others first come first served. One place per connection makes its
 * calls take turns; one place per database file makes its writers take turns.
 */
export class Semaphore {
  readonly #queue: WaitQueue<number>;
  readonly #permits: number;
  #held = 0;
  #arrivals = 0;
  #changes = 0;
  readonly #onChange: (() => void)[] = [];

  constructor(places: number = 1, maxWaiting: number = Infinity) {
    this.#permits = places;
    this.#queue = new WaitQueue(maxWaiting);
  }

  /** How many are inside. */
  get held(): number {
    return this.#held;
  }

  /** How many wait outside. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Whether whoever comes now has to wait. */
  get isFull(): boolean {
    return this.#held >= this.#permits;
  }

  /** How many have had to wait so far. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** How often somebody has entered or left so far. */
  get changes(): number {
    return this.#changes;
  }

  /** Enters if there is a place; whoever waits already goes first, because a place is never free while anyone waits. */
  tryAcquire(): boolean {
    if (this.isFull) return false;
    this.#held += 1;
    this.#changed();
    return true;
  }

  /** Calls `callback` the next time somebody enters or leaves. */
  onceChanged(callback: () => void): void {
    this.#onChange.push(callback);
  }

  /**
   * Enters as soon as there is a place, and resolves to what {@link Semaphore.changes} was then; rejects when the limit is reached. `kind` is
   * for {@link Semaphore.rejectAll}.
   */
  acquire(limit: Limit, kind?: string): Promise<number> {
    if (this.tryAcquire()) return Promise.resolve(this.#changes);
    this.#arrivals += 1;
    return this.#queue.wait(limit, kind);
  }

  /** Leaves; the place passes to the next in line. */
  release(): void {
    if (!this.#queue.serve(this.#changes + 1)) this.#held -= 1;
    this.#changed();
  }

  #changed(): void {
    this.#changes += 1;
    if (this.#onChange.length === 0) return;
    for (const callback of this.#onChange.splice(0)) callback();
  }

  /** Fails everyone who waits, or all of a kind, each with an error of its own. */
  rejectAll(why: () => unknown, kind?: string): void {
    this.#queue.rejectAll(why, kind);
  }
}
