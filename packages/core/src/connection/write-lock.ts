import { Cancelled } from './call-queue.ts';
import { alsoUntil, becauseOf, refuseToWaitForItself, selfWaits } from './enclosing-callback.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Semaphore } from '../waiting/semaphore.ts';

/**
 * The write lock of a file, for one connection. The connection acquires it before its first write and keeps it while a
 * transaction is open.
 */
export class WriteLock {
  readonly #semaphore: Semaphore;
  #state: 'none' | 'held' = 'none';
  /** Called when the connection gets the lock. Made on first use, because most connections never need it. */
  #watchers: Set<() => void> | undefined;

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
    if (this.#state === 'none' && this.#semaphore.tryAcquire()) this.#held();
    return this.#state === 'held';
  }

  /** Calls `callback` when this connection gets the lock. The returned function ends that. */
  watch(callback: () => void): () => void {
    const watchers = (this.#watchers ??= new Set());
    watchers.add(callback);
    return () => watchers.delete(callback);
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

  /** Waits for the lock. Rejects as soon as the caller waits for itself. */
  async acquire(limit: Limit): Promise<void> {
    refuseToWaitForItself(this.#semaphore);
    try {
      await this.#semaphore.acquire(alsoUntil(limit, selfWaits(this.#semaphore)));
    } catch (reason) {
      throw new Cancelled(becauseOf(reason, this.#semaphore));
    }
    this.#held();
  }

  #held(): void {
    this.#state = 'held';
    if (this.#watchers !== undefined) for (const callback of this.#watchers) callback();
  }

  /** Releases the lock, if this connection holds it. */
  release(): void {
    if (this.#state === 'none') return;
    this.#state = 'none';
    this.#semaphore.release();
  }
}
