import { Cancelled } from './call-queue.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Semaphore } from '../waiting/semaphore.ts';

/** The write lock of a file, as one connection has it: acquired before its first write, kept while a transaction is open. */
export class WriteLock {
  readonly #semaphore: Semaphore;
  #state: 'none' | 'held' = 'none';

  constructor(semaphore: Semaphore) {
    this.#semaphore = semaphore;
  }

  /** Whether it has the turn. */
  get isHeld(): boolean {
    return this.#state === 'held';
  }

  /** Takes the turn if it is free. */
  tryAcquire(): boolean {
    if (this.#state === 'none' && this.#semaphore.tryAcquire()) this.#state = 'held';
    return this.#state === 'held';
  }

  /** Whether nobody has it. */
  get isFree(): boolean {
    return !this.#semaphore.isFull;
  }

  /** Calls `callback` the next time somebody takes it or leaves it. */
  onceChanged(callback: () => void): void {
    this.#semaphore.onceChanged(callback);
  }

  /** Whoever has begun to wait just now: tells it whether nobody else has since. */
  lastInLine(): () => boolean {
    const { arrivals } = this.#semaphore;
    return () => this.#semaphore.arrivals === arrivals;
  }

  /** Waits for the turn. */
  async acquire(limit: Limit): Promise<void> {
    try {
      await this.#semaphore.acquire(limit);
    } catch (reason) {
      throw new Cancelled(reason);
    }
    this.#state = 'held';
  }

  /** Gives the turn up, if it is held. */
  release(): void {
    if (this.#state === 'none') return;
    this.#state = 'none';
    this.#semaphore.release();
  }
}
