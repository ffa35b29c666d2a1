import { AsyncLocalStorage } from 'node:async_hooks';
import { bounded, systemClock, untilCancelled } from '../waiting/deadline.ts';
import { transactionChannel, type RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { TransactionOperation } from '../diagnostics/operation.ts';
import type { Result, Row } from '../driver.ts';
import { InvalidArgumentError, LeaseEndedError } from '../errors.ts';
import type { Waits } from '../leasing/connection-pool.ts';
import type { SqlitePool } from '../pool.ts';
import { QueryMethods } from '../query/query-methods.ts';
import type { Call, CallOptions, Script } from '../query/call.ts';
import type { Queryable, TransactionMode, TransactionOptions } from '../query/queryable.ts';
import type { LeaseMode, RequestDb } from './request-db.ts';
import type { RequestLease } from './request-lease.ts';
import { enclosing, EnclosingCallback, runInside } from '../connection/enclosing-callback.ts';
import { checkTransaction, checkTransactionOptions, published } from '../connection/transaction.ts';

/**
 * Options of a transaction for a whole request.
 *
 * @example app.post('/orders', transaction(db, { timeoutMs: 2000 }), handler);
 */
export interface RequestTransactionOptions {
  /** Default: `immediate`. */
  readonly mode?: TransactionMode | undefined;
  /** Longest time in milliseconds from the first statement to the COMMIT; `Infinity`, the default, for no limit. */
  readonly timeoutMs?: number | undefined;
}

/** A response with this status or a higher one means that the request failed. */
const FIRST_ERROR_STATUS = 400;

/**
 * The `db` of a request when the whole request is one transaction. The transaction begins with the first statement. So
 * a request that is refused before it needs the database does not acquire the write lock. A plugin ends the transaction
 * before the response leaves.
 *
 * After that, statements that only read run on their own, as they do after any response. Statements that write are
 * refused with `LeaseEndedError`, because alone they would commit one by one. A cursor that has begun goes on after the
 * COMMIT and still sees the state of the database in the transaction.
 *
 * @example
 * const transaction = new RequestTransaction(lease, { mode: 'immediate' });
 * await handler(transaction);
 * await transaction.settle(response.statusCode); // rejects if the COMMIT fails: answer 500
 * // or, before the handler: commitBefore(response, transaction, (error) => …);
 */
export class RequestTransaction extends QueryMethods implements RequestDb {
  readonly #lease: RequestLease;
  readonly #options: RequestTransactionOptions;
  readonly #cancel = new AbortController();
  /** The handle of the transaction, from the first statement on. */
  #begun: Promise<QueryMethods> | undefined;
  #decide: { readonly commit: () => void; readonly rollback: (reason: unknown) => void } | undefined;
  #done: Promise<void> = Promise.resolve();
  /** Settles when the transaction has ended. */
  #over: Promise<void> | undefined;
  #hasEnded = false;
  readonly #enclosing = new EnclosingCallback('transaction', undefined);
  /** The context of the request, if something traces transactions. That of its first statement ends before them. */
  readonly #context = transactionChannel.hasSubscribers ? AsyncLocalStorage.snapshot() : undefined;
  /** Counts what the transaction waits for before its first statement, if something wants to know of that. */
  #waits: TransactionOperation | undefined;

  constructor(lease: RequestLease, options: RequestTransactionOptions = {}) {
    super();
    this.#lease = lease;
    this.#options = options;
    // If other code writes the head of the response past the plugin, a failed COMMIT could no longer change the answer.
    // So the transaction is rolled back.
    lease.beforeResponse(() => {
      this.fail();
    });
  }

  /** The request's handle outside this transaction. */
  get lease(): RequestLease {
    return this.#lease;
  }

  /** Whether another lease for this pool and mode would be equal: see {@link RequestLease.isFor}. */
  isFor(pool: SqlitePool, mode: LeaseMode): boolean {
    return this.#lease.isFor(pool, mode);
  }

  /** Whether the transaction was used and has not ended: a COMMIT or a rollback is still to come, or is running. */
  get isPending(): boolean {
    return this.#begun !== undefined && !this.#hasEnded;
  }

  /**
   * Ends the transaction before the response leaves: commits if `status` is below 400, rolls back otherwise. Rejects
   * with the reason if the COMMIT fails, or if SQLite or the end of the request has already rolled it back. Only the
   * first call rejects.
   *
   * @example await transaction.settle(response.statusCode);
   */
  settle(status: number): Promise<void> {
    if (this.#over !== undefined) return this.#over.catch(() => undefined);
    this.#enclosing.end();
    const over = status < FIRST_ERROR_STATUS ? this.#commit() : this.#rollback();
    this.#over = over.finally(() => {
      this.#hasEnded = true;
    });
    return this.#over;
  }

  /**
   * Rolls the transaction back, because the request has failed. The status of the error handler's answer does not
   * matter.
   *
   * @example transaction.fail();
   */
  fail(): void {
    void this.settle(FIRST_ERROR_STATUS);
  }

  /**
   * Runs the handler of the request, and returns what it returns. A call on the pool in it that would wait for this
   * transaction is then refused at once, with `TransactionActiveError`.
   *
   * @example await transaction.around(() => handler(request));
   */
  around<T>(handler: () => T): T {
    return runInside(this.#enclosing, handler);
  }

  async connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T> {
    if (typeof fn !== 'function') throw new InvalidArgumentError('connection() takes a function.');
    return await fn(await this.#own());
  }

  /** @internal */
  override get observer(): Observer {
    return this.#lease.observer;
  }

  /** @internal */
  override origin(): RequestOrigin | undefined {
    return this.#lease.origin();
  }

  /** @internal */
  override async performScript(script: Script, options: CallOptions): Promise<void> {
    await this.#noting(async () => {
      const tx = await this.#own(options);
      await tx.performScript(script, options);
    });
  }

  /** A savepoint in the request's transaction. */
  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(fn, options);
    const tx = await this.#own({ signal: options.signal });
    return await tx.transaction(fn, options);
  }

  /** @internal */
  override async perform(call: Call): Promise<Result> {
    return await this.#noting(async () => {
      const db = await this.#handleFor(call);
      return await db.perform(call);
    });
  }

  /** @internal */
  override async performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]> {
    return await this.#noting(async () => {
      const tx = await this.#own(options);
      return await tx.performAll(calls, options);
    });
  }

  /** @internal */
  override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    const db = await this.#handleFor(call);
    if (db === this.#lease) yield* db.step(call);
    else yield* this.#lease.keepWhile(db.step({ ...call, outlivesCommit: true }));
  }

  /** Runs a statement, and notes its failure for the log. */
  async #noting<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      this.#lease.failed(error);
      throw error;
    }
  }

  async #handleFor(call: Call): Promise<QueryMethods> {
    const reads = call.statement.readonly && call.statement.control === 'none';
    if (this.#over === undefined || !reads) return await this.#own(call);
    await this.#over.catch(() => undefined);
    return this.#lease;
  }

  async #own({ signal, operation }: Waits = {}): Promise<QueryMethods> {
    if (this.#over !== undefined) throw new LeaseEndedError(OVER);
    this.#begun ??= this.#begin();
    const waits = this.#waits;
    const before = Number(waits?.lockedMs);
    try {
      // The transaction is for the whole request. A cancelled call stops waiting for it, and leaves it to the other calls.
      return await bounded(this.#begun, untilCancelled(systemClock, signal));
    } finally {
      if (waits !== undefined) operation?.waitedForLock(waits.lockedMs - before);
    }
  }

  #begin(): Promise<QueryMethods> {
    const { observer } = this;
    const wanted = observer.watchesQueries || transactionChannel.hasSubscribers;
    const waits = wanted ? new TransactionOperation(observer, this.origin(), this.#options.mode) : undefined;
    this.#waits = waits;
    return new Promise((resolve, reject) => {
      const untilDecided = (tx: QueryMethods): Promise<void> =>
        new Promise((commit, rollback) => {
          this.#decide = { commit, rollback };
          this.#enclosing.session = enclosing()?.session;
          resolve(tx);
        });
      const options = { ...this.#options, signal: this.#cancel.signal };
      const begin = (): Promise<void> => this.#lease.pinnedTransaction(untilDecided, options, waits);
      const listened = transactionChannel.hasSubscribers ? waits : undefined;
      this.#done = this.#inContext(() => published(listened, begin));
      this.#done.catch((error: unknown) => {
        // It may have ended before the response, at its deadline for example. Then other callers get its connection.
        this.#enclosing.session = undefined;
        // If the transaction has not begun, the next call may try again.
        if (this.#decide === undefined) this.#begun = undefined;
        reject(error);
      });
    });
  }

  #inContext<T>(work: () => T): T {
    return this.#context === undefined ? work() : this.#context(work);
  }

  async #commit(): Promise<void> {
    // A call that the handler did not await may still wait for the BEGIN. If the BEGIN fails, an awaited call has
    // reported it.
    await this.#begun?.catch(() => undefined);
    this.#decide?.commit();
    if (this.#decide !== undefined) await this.#done;
  }

  async #rollback(): Promise<void> {
    const reason = new LeaseEndedError(OVER);
    if (this.#decide === undefined) this.#cancel.abort(reason);
    else this.#decide.rollback(reason);
    await this.#done.catch(() => undefined);
  }
}

/** Checks a plugin's options for {@link RequestTransaction}. Throws `InvalidArgumentError`. */
export function checkRequestTransaction(options: unknown): asserts options is RequestTransactionOptions {
  checkTransactionOptions(options);
  const { signal, retries } = options;
  if (signal === undefined && retries === undefined) return;
  throw new InvalidArgumentError(
    "The transaction of a request takes mode and timeoutMs; it has no signal, and cannot run the request's handler again.",
  );
}

const OVER =
  'The transaction of this request is over: it ends before the response begins, and when the request fails. A WebSocket has none. Await all writes before you respond, and use the pool for what comes after.';
