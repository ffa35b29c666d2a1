import type { Result, Row } from '../driver.ts';
import type { Entry } from '../engine/entries.ts';
import { LeaseEndedError, TransactionActiveError } from '../errors.ts';
import type { Listed, Place } from '../waiting/linked-list.ts';
import {
  checkLimits,
  QueryMethods,
  type Call,
  type Queryable,
  type QueryOptions,
  type TransactionOptions,
} from '../query/queryable.ts';
import type { Session } from '../connection/session.ts';
import { transact } from '../connection/transaction.ts';
import { Revocation, type Cancellation, type Clock } from '../waiting/deadline.ts';

/**
 * Options of `acquire` and `connection`.
 *
 * @example const lease = await pool.acquire({ timeoutMs: 1000, signal: AbortSignal.timeout(500) });
 */
export interface AcquireOptions {
  /** Gives up waiting. Has no effect once the connection is lent. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait in milliseconds. Default: the pool's `acquisitionTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

/** How a lease can end. */
export type LeaseEnding = 'released' | 'discarded' | 'revoked';

/**
 * What the pool keeps of a lease. It holds nothing of the user's handle, so that a handle that was dropped without a
 * release can be collected as garbage, and its connection taken back.
 */
export class Hold implements Listed<Hold> {
  place: Place<Hold> | undefined;
  readonly entry: Entry<Session>;
  readonly session: Session;
  readonly clock: Clock;
  /** Where the acquire was made, when `leakWarningMs` is on. */
  readonly stack: string | undefined;
  /** The handle, as long as the lease is young: see {@link Leases.sweep}. */
  young: Lease | undefined;
  #revocation: Revocation | undefined;
  readonly #onEnd: (hold: Hold, ending: LeaseEnding) => Promise<void>;
  #ending: LeaseEnding | undefined;
  #settled: Promise<void> | undefined;

  /** @param onEnd - Called once; resolves when the connection is back in the pool or closed. */
  constructor(
    entry: Entry<Session>,
    clock: Clock,
    stack: string | undefined,
    onEnd: (hold: Hold, ending: LeaseEnding) => Promise<void>,
  ) {
    this.entry = entry;
    this.session = entry.resource;
    this.clock = clock;
    this.stack = stack;
    this.#onEnd = onEnd;
  }

  /** Aborts when the lease is revoked. Made when it is asked for, because most leases need none. */
  get revoked(): Cancellation {
    return (this.#revocation ??= new Revocation());
  }

  /** Whether the lease has not ended. */
  get isInForce(): boolean {
    return this.#ending === undefined;
  }

  /**
   * Ends the lease, once; resolves when its connection is back in the pool or closed, and never rejects. Calls made
   * before a release still run; a revocation cancels them.
   *
   * @param why - What they reject with, made for each.
   */
  end(ending: LeaseEnding, why: () => Error = () => endedError(ending)): Promise<void> {
    if (this.#settled === undefined) {
      this.#ending = ending;
      if (ending !== 'released') this.#cut(why);
      this.#settled = this.#onEnd(this, ending);
    }
    return this.#settled;
  }

  #cut(why: () => Error): void {
    this.#revocation?.abortEach(why);
    this.session.cut(why);
  }

  /** Throws if the lease has ended. */
  check(): void {
    if (this.#ending !== undefined) throw endedError(this.#ending);
  }
}

function endedError(ending: LeaseEnding): LeaseEndedError {
  return new LeaseEndedError(
    ending === 'revoked'
      ? 'The pool has taken this lease back (maxLeaseMs, a closed request or a closing pool).'
      : `This lease was ${ending}; its connection may be in other hands. Acquire another one.`,
  );
}

/**
 * A connection on loan: yours alone until you release it.
 *
 * A release rolls an open transaction back; the pool never commits for anyone. A lease that has ended rejects every
 * call with `LeaseEndedError`, so a reference that was kept cannot reach a connection that someone else now holds.
 *
 * @example
 * await using connection = await pool.acquire();
 * await connection.run('INSERT INTO log (line) VALUES (?)', ['hello']);
 */
export class Lease extends QueryMethods implements AsyncDisposable {
  readonly #hold: Hold;

  /** @internal */
  constructor(hold: Hold) {
    super();
    this.#hold = hold;
  }

  /**
   * The driver's own connection. The pool cannot know what is done with it, so it closes the connection after the
   * lease; do not begin a transaction with it that another writer of this process must wait for. Throws
   * `LeaseEndedError` after the lease.
   *
   * @example const handle = connection.raw as import('sqlite3').Database;
   */
  get raw(): unknown {
    this.#hold.check();
    const { session } = this.#hold;
    session.markDirty();
    return session.connection.raw ?? session.connection;
  }

  /** Whether its connection is good, and nothing would be missed if the next statement had another one. @internal */
  get isClean(): boolean {
    const { isInForce, session } = this.#hold;
    return isInForce && session.condition === 'clean' && !session.isSuspect;
  }

  /** Whether something was left on the connection that the next statement must find: a transaction, a cursor, a PRAGMA. @internal */
  get holdsState(): boolean {
    return this.#hold.isInForce && this.#hold.session.holdsState;
  }

  /** Whether a transaction may be open on this connection. @internal */
  get inTransaction(): boolean {
    return this.#hold.isInForce && this.#hold.session.inTransaction;
  }

  /**
   * Gives the connection back; resolves when that is done. Calls made before still run first, for up to
   * `operationTimeoutMs`. Idempotent; never rejects.
   *
   * @example
   * const connection = await pool.acquire();
   * try {
   *   await connection.run('DELETE FROM drafts');
   * } finally {
   *   await connection.release();
   * }
   */
  release(): Promise<void> {
    return this.#hold.end('released');
  }

  /**
   * Has the connection closed instead of reused, when you know that something is wrong with it; resolves when it is closed, or
   * that has taken longer than `operationTimeoutMs`. An in-memory database is lost with it. Idempotent; never rejects.
   *
   * @example if (isSuspicious(error)) await connection.discard();
   */
  discard(): Promise<void> {
    return this.#hold.end('discarded');
  }

  /**
   * Takes the connection back: cancels what runs, rolls back, and refuses what comes. What was cancelled rejects with
   * `reason`, or with `LeaseEndedError`. Idempotent; never rejects.
   *
   * @example socket.once('close', () => void connection.revoke());
   */
  revoke(reason?: Error): Promise<void> {
    return this.#hold.end('revoked', reason && (() => reason));
  }

  /** The same as {@link Lease.release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  protected override perform(call: Call): Promise<Result> {
    this.#check();
    return this.#hold.session.perform(call);
  }

  protected override performAll(calls: readonly Call[], options: QueryOptions): Promise<Result[]> {
    this.#check();
    return this.#hold.session.batch(calls, options);
  }

  protected override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    this.#check();
    const rows = this.#hold.session.iterate(call);
    for await (const row of rows) {
      yield row;
      this.#hold.check();
    }
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    this.#check();
    checkLimits(options);
    await this.#hold.session.script(sql, options);
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options?: TransactionOptions,
  ): Promise<T> {
    const hold = this.#hold;
    const { session, clock, revoked } = hold;
    const check = (): void => {
      hold.check();
    };
    check();
    return await transact({ session, clock, outer: undefined, check, ended: revoked }, fn, options);
  }

  #check(): void {
    this.#hold.check();
    if (this.#hold.session.scope !== undefined) throw new TransactionActiveError();
  }
}
