import type { CallQueue } from './call-queue.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Row } from '../driver.ts';
import { LeaseEndedError } from '../errors.ts';

/** A cursor of a driver. */
export type Cursor = AsyncIterator<Row, unknown, undefined>;

/**
 * How long a cursor may live. `lease`: opened outside a transaction, as long as its lease. `transaction`: to the end of the one it was
 * opened in. `commit`: a rollback of its transaction ends it, because it may have read what never was. A COMMIT does not: it
 * "runs immediately, even if there are pending SELECT statements", https://www.sqlite.org/lang_transaction.html.
 */
export type Lifetime = 'lease' | 'transaction' | 'commit';

/** The open cursors of one connection. Each step of one is a native call like another, and takes its turn. */
export class Cursors {
  readonly #calls: CallQueue;
  readonly #closeLimit: () => Limit;
  readonly #open = new Map<Cursor, Lifetime>();
  #interrupted = false;

  constructor(calls: CallQueue, closeLimit: () => Limit) {
    this.#calls = calls;
    this.#closeLimit = closeLimit;
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** The one that has been open the longest. */
  get oldest(): Cursor | undefined {
    const [oldest] = this.#open.keys();
    return oldest;
  }

  add(cursor: Cursor, lifetime: Lifetime): void {
    this.#open.set(cursor, lifetime);
  }

  /** Takes a step, in a turn of its own. */
  async step(cursor: Cursor, limit: Limit | undefined): Promise<IteratorResult<Row, unknown>> {
    return await this.#calls.withLock(limit, async () => {
      // Closed by anyone but its own loop, it must not end the loop as if all rows had been read.
      if (!this.#open.has(cursor))
        throw new LeaseEndedError(
          'The cursor was closed: its transaction or lease ended, or a call beside it was cancelled.',
        );
      return await this.#calls.call(() => cursor.next(), limit);
    });
  }

  /** Closes a cursor, in a turn of its own. */
  async close(cursor: Cursor): Promise<void> {
    if (!this.#open.has(cursor)) return;
    await this.#calls.operate(this.#closeLimit(), () => this.end(cursor));
  }

  /**
   * Closes those with one of these lifetimes, or all, in a turn that its caller has. A loop around a transaction goes on when
   * that ends, as SQLite lets it.
   */
  async closeAll(...lifetimes: readonly Lifetime[]): Promise<void> {
    for (const [cursor, lifetime] of this.#open) {
      if (lifetimes.length === 0 || lifetimes.includes(lifetime)) await this.end(cursor);
    }
  }

  /** SQLite forgets an interrupt when nothing is active: an open cursor would hand it on to every later statement. */
  noteInterrupt(): void {
    this.#interrupted ||= this.#open.size > 0;
  }

  /** Whether they must end before anything else is run. */
  get areInterrupted(): boolean {
    return this.#interrupted;
  }

  /** Ends them if they were interrupted, in a turn that its caller has. */
  async endInterrupted(): Promise<void> {
    if (!this.#interrupted) return;
    this.#interrupted = false;
    await this.closeAll();
  }

  /** Closes a cursor, in a turn that its caller has. */
  async end(cursor: Cursor): Promise<void> {
    if (!this.#open.delete(cursor)) return;
    await this.#calls.call(async () => await cursor.return?.(), this.#closeLimit(), 'operation');
  }
}
