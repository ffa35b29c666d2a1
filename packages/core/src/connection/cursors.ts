import type { CallQueue } from './call-queue.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Row } from '../driver.ts';
import { LeaseEndedError } from '../errors.ts';

/** A cursor of a driver. */
export type Cursor = AsyncIterator<Row, unknown, undefined>;

/**
 * How long a cursor may live. `lease`: opened outside a transaction; it lives as long as its lease. `transaction`: it
 * lives to the end of its transaction. `commit`: a rollback of its transaction ends it, because it may have read rows
 * that were never committed. A COMMIT does not end it: a COMMIT "runs immediately, even if there are pending SELECT
 * statements", https://www.sqlite.org/lang_transaction.html.
 */
export type Lifetime = 'lease' | 'transaction' | 'commit';

/** An open cursor. */
interface Open {
  readonly lifetime: Lifetime;
  /** Called when something else than its loop closes it. */
  onClosed: ((reason: LeaseEndedError) => void) | undefined;
}

/** A cursor that has taken its first step. */
export interface Begun {
  readonly cursor: Cursor;
  readonly first: IteratorResult<Row, unknown>;
}

/** The open cursors of one connection. Each step of a cursor is a native call and acquires the lock of the connection. */
export class Cursors {
  readonly #calls: CallQueue;
  readonly #closeLimit: () => Limit;
  readonly #open = new Map<Cursor, Open>();
  #interrupted = false;

  constructor(calls: CallQueue, closeLimit: () => Limit) {
    this.#calls = calls;
    this.#closeLimit = closeLimit;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The cursor that has been open the longest. */
  get oldest(): Cursor | undefined {
    const [oldest] = this.#open.keys();
    return oldest;
  }

  add(cursor: Cursor, lifetime: Lifetime): void {
    this.#open.set(cursor, { lifetime, onClosed: undefined });
  }

  /** Calls `callback` if something else than its loop closes the cursor. The loop may never take the next step. */
  onClosed(cursor: Cursor, callback: (reason: LeaseEndedError) => void): void {
    const open = this.#open.get(cursor);
    if (open !== undefined) open.onClosed = callback;
  }

  /** Takes one step. Acquires the lock for it. */
  async step(cursor: Cursor, limit: Limit | undefined): Promise<IteratorResult<Row, unknown>> {
    return await this.#calls.withLock(limit, async () => {
      // The loop must not end as if it had read all rows when other code has closed its cursor.
      if (!this.#open.has(cursor)) throw new LeaseEndedError(CLOSED);
      return await this.#calls.call(() => cursor.next(), limit);
    });
  }

  /** Closes a cursor, because its loop has ended. Acquires the lock for it. */
  async close(cursor: Cursor): Promise<void> {
    const open = this.#open.get(cursor);
    if (open === undefined) return;
    open.onClosed = undefined;
    await this.#calls.operate(this.#closeLimit(), () => this.end(cursor));
  }

  /**
   * Closes the cursors with one of these lifetimes, or all. The caller must hold the lock. A loop around a transaction
   * goes on after the transaction, as SQLite allows.
   */
  async closeAll(...lifetimes: readonly Lifetime[]): Promise<void> {
    for (const [cursor, { lifetime }] of this.#open) {
      if (lifetimes.length === 0 || lifetimes.includes(lifetime)) await this.end(cursor);
    }
  }

  /**
   * SQLite forgets an interrupt only when no statement is active. An open cursor would pass it on to every later
   * statement.
   */
  noteInterrupt(): void {
    this.#interrupted ||= this.#open.size > 0;
  }

  /** Whether the cursors must end before any other statement runs. */
  get areInterrupted(): boolean {
    return this.#interrupted;
  }

  /** Closes the cursors if they were interrupted. The caller must hold the lock. */
  async endInterrupted(): Promise<void> {
    if (!this.#interrupted) return;
    this.#interrupted = false;
    await this.closeAll();
  }

  /** Closes a cursor. The caller must hold the lock. */
  async end(cursor: Cursor): Promise<void> {
    const open = this.#open.get(cursor);
    if (open === undefined) return;
    this.#open.delete(cursor);
    open.onClosed?.(new LeaseEndedError(CLOSED));
    await this.#calls.call(async () => await cursor.return?.(), this.#closeLimit(), 'operation');
  }

  /** The connection is abandoned with its cursors, and a native call may never close them. */
  abandon(): void {
    for (const { onClosed } of this.#open.values()) onClosed?.(new LeaseEndedError(CLOSED));
    this.#open.clear();
  }
}

const CLOSED = 'The cursor was closed: its transaction or lease ended, or a call beside it was cancelled.';
