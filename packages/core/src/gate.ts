import type { Limit } from './deadline.ts';
import { WaitQueue } from './wait-queue.ts';

/**
 * Lets a number of holders in at a time, the others first come first served. One place per connection makes its
 * calls take turns; one place per database file makes its writers take turns.
 */
export class Gate {
  readonly #queue: WaitQueue<undefined>;
  readonly #places: number;
  #held = 0;

  constructor(places: number = 1, maxWaiting: number = Infinity) {
    this.#places = places;
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

  /** Enters if there is a place; whoever waits already goes first, because a place is never free while anyone waits. */
  tryEnter(): boolean {
    if (this.#held >= this.#places) return false;
    this.#held += 1;
    return true;
  }

  /** Enters as soon as there is a place; rejects when the limit is reached. */
  enter(limit: Limit): Promise<unknown> {
    return this.tryEnter() ? Promise.resolve() : this.#queue.wait(limit);
  }

  /** Leaves; the place passes to the next in line. */
  leave(): void {
    if (!this.#queue.serve(undefined)) this.#held -= 1;
  }

  /** Fails everyone who waits. */
  failAll(error: unknown): void {
    while (this.#queue.fail(error));
  }
}
