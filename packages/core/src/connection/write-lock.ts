import { Cancelled } from './call-queue.ts';
import { refuseToWaitForItself } from './enclosing-transaction.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Semaphore } from '../waiting/semaphore.ts';

/**
 * The write lock of a file, for one connection. The connection acquires it before its first write and keeps it while a
 * transaction is open.
 */
export class WriteLock {
  readonly #semaphore: Semaphore;
  #state: 'none' | 'held' = 'none';

  constructor(semaphore: Semaphore) {
    this.#semaphore = semaphore;
  }

  /** Whether this connection holds the lock. */
  get isHeld(): boolean {
    return this.#state === 'held';
  }

  /** Whether it is the lock of the file that `gate` belongs to. */
  isOf(gate: Semaphore): boolean {
    return this.#semaphore === gate;
  }

  /** Acquires the lock if it is free. Returns whether this connection holds it. */
  tryAcquire(): boolean {
    if (this.#state === 'none' && this.#semaphore.tryAcquire()) this.#state = 'held';
    return this.#state === 'held';
  }

  /** Whether no connection holds the lock. */
  get isFree(): boolean {
    return !this.#semaphore.isFull;
  }

  /** Calls `callback` the next time a connection acquires or releases the lock. */
  onceChanged(callback: () => void): void {
    this.#semaphore.onceChanged(callback);
  }

  /** Call it at the beginning of a wait. The returned function says whether no other waiter has come since. */
  lastInLine(): () => boolean {
    const { arrivals } = this.#semaphore;
    return () => this.#semaphore.arrivals === arrivals;
  }

  /** Waits for the lock. Rejects at once if the caller would wait for itself. */
  async acquire(limit: Limit): Promise<void> {
    refuseToWaitForItself(this.#semaphore);
    try {
      await this.#semaphore.acquire(limit);
    } catch (reason) {
      throw new Cancelled(reason);
    }
    this.#state = 'held';
  }

  /** Releases the lock, if this connection holds it. */
  release(): void {
    if (this.#state === 'none') return;
    this.#state = 'none';
    this.#semaphore.release();
  }
}
