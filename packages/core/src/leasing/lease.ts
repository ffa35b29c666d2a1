import type { Result, Row } from '../driver.ts';
import type { Entry } from '../engine/entries.ts';
import { LeaseEndedError, TransactionActiveError } from '../errors.ts';
import type { Listed, Place } from '../waiting/linked-list.ts';
import { QueryMethods } from '../query/query-methods.ts';
import type { Call, CallOptions, Script } from '../query/call.ts';
import type { Queryable, TransactionOptions } from '../query/queryable.ts';
import { EnclosingCallback, runInside } from '../connection/enclosing-callback.ts';
import type { Session } from '../connection/session.ts';
import { transact } from '../connection/transaction.ts';
import type { RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import type { TransactionOperation } from '../diagnostics/operation.ts';
import { CancelSource, type CancelToken } from '../waiting/deadline.ts';

/**
 * Options of `acquire` and `connection`.
 *
 * @example const lease = await pool.acquire({ timeoutMs: 1000, signal: AbortSignal.timeout(500) });
 */
export interface AcquireOptions {
  /** Cancels the wait. Has no effect once the connection is acquired. */
  readonly signal?: AbortSignal | undefined;
  /** Longest wait in milliseconds. Default: the pool's `acquireTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
}

/** What the pool remembers of an acquire, if something wants to know of it. */
export interface Acquire {
  /** Its time. */
  readonly since: number;
  /** The request that made it, if there is one. */
  readonly request: RequestOrigin | undefined;
  /** Its stack, when `leakWarningMs` is on. */
  readonly stack: string | undefined;
}

/** How a lease can end. */
export type LeaseEnding = 'released' | 'discarded' | 'revoked';

/**
 * The pool's record of a lease. It holds no strong reference to the user's handle for long. So a handle that was
 * dropped without a release can be collected as garbage, and the pool can reclaim its connection.
 */
export class LeaseRecord implements Listed<LeaseRecord> {
  place: Place<LeaseRecord> | undefined;
  readonly entry: Entry<Session>;
  readonly session: Session;
  readonly observer: Observer;
  /** The acquire, if something wants to know of it. */
  readonly acquire: Acquire | undefined;
  /** The handle, as long as the lease is young: see {@link LeaseRegistry.sweep}. */
  handle: Lease | undefined;
  #cancelSource: CancelSource | undefined;
  readonly #onEnd: (record: LeaseRecord, ending: LeaseEnding) => Promise<void>;
  #ending: LeaseEnding | undefined;
  #settled: Promise<void> | undefined;

  /**
   * @param onEnd - Called once; resolves when the connection is back in the pool or closed.
   */
  constructor(
    entry: Entry<Session>,
    observer: Observer,
    acquire: Acquire | undefined,
    onEnd: (record: LeaseRecord, ending: LeaseEnding) => Promise<void>,
  ) {
    this.entry = entry;
    this.session = entry.resource;
    this.observer = observer;
    this.acquire = acquire;
    this.#onEnd = onEnd;
  }

  /** How long the lease has been held, in milliseconds; `undefined` if nothing listened when it began. */
  get heldMs(): number | undefined {
    return this.acquire && this.observer.clock.now() - this.acquire.since;
  }

  /** Aborts when the lease is revoked. Made on first use, because most leases need none. */
  get revoked(): CancelToken {
    return (this.#cancelSource ??= new CancelSource());
  }

  /** Whether the lease has not ended. */
  get isInForce(): boolean {
    return this.#ending === undefined;
  }

  /**
   * Ends the lease, once. Resolves when its connection is back in the pool or closed, and never rejects. Calls made
   * before a release still run; a revocation or a discard cancels them.
   *
   * @param why - Makes the error of each cancelled call.
   */
  end(ending: LeaseEnding, why: () => Error = () => endedError(ending)): Promise<void> {
    if (this.#settled === undefined) {
      this.#ending = ending;
      if (ending !== 'released') this.#cancel(why);
      this.#settled = this.#onEnd(this, ending);
    }
    return this.#settled;
  }

  #cancel(why: () => Error): void {
    this.#cancelSource?.cancelEach(why);
    this.session.cancel(why);
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
 * A leased connection. Only its holder uses it until the release.
 *
 * A release rolls back an open transaction; the pool never commits on behalf of a caller. A lease that has ended
 * rejects every call with `LeaseEndedError`. So a reference that was kept cannot reach a connection that another caller
 * now holds.
 *
 * @example
 * await using connection = await pool.acquire();
 * await connection.run('INSERT INTO log (line) VALUES (?)', ['hello']);
 */
export class Lease extends QueryMethods implements AsyncDisposable {
  readonly #record: LeaseRecord;

  /** @internal */
  constructor(record: LeaseRecord) {
    super();
    this.#record = record;
  }

  /**
   * The driver's own connection. The pool cannot know how you use it, so it closes the connection after the lease. Do
   * not begin a transaction with it that another writer of this process must wait for. Throws `LeaseEndedError` after
   * the lease.
   *
   * @example const handle = connection.raw() as import('sqlite3').Database;
   */
  raw(): unknown {
    this.#record.check();
    const { session } = this.#record;
    session.taint();
    return session.connection.raw ?? session.connection;
  }

  /** Runs `fn` as a callback that holds this connection until it settles. @internal */
  async hold<T>(fn: (lease: Lease) => T | Promise<T>): Promise<T> {
    const record = this.#record;
    const callback = new EnclosingCallback('lease', record.session, record);
    try {
      return await runInside(callback, () => fn(this));
    } finally {
      callback.end();
    }
  }

  /** Whether the connection is good, and the next statement could run on another one without a difference. @internal */
  get isClean(): boolean {
    const { isInForce, session } = this.#record;
    return isInForce && session.condition === 'clean' && !session.isSuspect;
  }

  /** Whether the connection holds state that the next statement must find: a transaction, a cursor, a PRAGMA. @internal */
  get holdsState(): boolean {
    return this.#record.isInForce && this.#record.session.holdsState;
  }

  /** Resolves when the calls that run on the connection have ended; `undefined` if none runs. @internal */
  get calls(): Promise<void> | undefined {
    const { session } = this.#record;
    return session.isBusy ? session.calm() : undefined;
  }

  /** Whether a transaction may be open on this connection. @internal */
  get inTransaction(): boolean {
    return this.#record.isInForce && this.#record.session.inTransaction;
  }

  /**
   * Releases the connection; resolves when that is done. Calls made before the release still run first, for up to
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
    return this.#record.end('released');
  }

  /**
   * Closes the connection instead of reusing it. Use it when you know that something is wrong with the connection.
   * Resolves when the connection is closed, or when that has taken longer than `operationTimeoutMs`. An in-memory
   * database is lost with it. Idempotent; never rejects.
   *
   * @example if (isSuspicious(error)) await connection.discard();
   */
  discard(): Promise<void> {
    return this.#record.end('discarded');
  }

  /**
   * Revokes the lease: cancels the running calls, rolls back, and refuses later calls. The cancelled calls reject with
   * `reason`, or with `LeaseEndedError`. Idempotent; never rejects.
   *
   * @example socket.once('close', () => void connection.revoke());
   */
  revoke(reason?: Error): Promise<void> {
    return this.#record.end('revoked', reason && (() => reason));
  }

  /** The same as {@link Lease.release}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }

  /** @internal */
  override get observer(): Observer {
    return this.#record.observer;
  }

  /** @internal */
  override origin(): RequestOrigin | undefined {
    return this.#record.acquire?.request;
  }

  /** @internal */
  override perform(call: Call): Promise<Result> {
    this.#check();
    return this.#record.session.perform(call);
  }

  /**
   * As `perform`, for a caller to whom this connection means nothing: the driver may run the statement on another handle
   * of the file, as far as nothing is open on this one. @internal
   */
  performAnywhere(call: Call): Promise<Result> {
    this.#check();
    return this.#record.session.perform(call, true);
  }

  /** @internal */
  override performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]> {
    this.#check();
    return this.#record.session.batch(calls, options);
  }

  /** @internal */
  override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    this.#check();
    const rows = this.#record.session.iterate(call);
    for await (const row of rows) {
      yield row;
      this.#record.check();
    }
  }

  /** @internal */
  override async performScript(script: Script, options: CallOptions): Promise<void> {
    this.#check();
    await this.#record.session.script(script, options);
  }

  override transaction<T>(fn: (tx: Queryable) => T | Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.transact(fn, options);
  }

  /** The same, for a callback that runs checked calls, or for a transaction that has waited for this lease. @internal */
  async transact<T>(
    fn: (tx: QueryMethods) => T | Promise<T>,
    options?: TransactionOptions,
    operation?: TransactionOperation,
  ): Promise<T> {
    const record = this.#record;
    const { session, observer, revoked } = record;
    const check = (): void => {
      record.check();
    };
    check();
    return await transact(
      { session, observer, request: this.origin(), outer: undefined, check, ended: revoked },
      fn,
      options,
      operation,
    );
  }

  #check(): void {
    this.#record.check();
    if (this.#record.session.scope !== undefined) throw new TransactionActiveError();
  }
}
