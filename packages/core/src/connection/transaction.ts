import { randomBytes } from 'node:crypto';
import { bounded, limitOf, CancelSource, type CancelToken, type Limit } from '../waiting/deadline.ts';
import { transactionChannel, type RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { traced, TransactionOperation } from '../diagnostics/operation.ts';
import type { Result, Row } from '../driver.ts';
import { BUSY_SNAPSHOT } from '../driver-errors.ts';
import {
  BusyError,
  InvalidArgumentError,
  LeaseEndedError,
  OutcomeUnknownError,
  StatementTimeoutError,
  TransactionActiveError,
} from '../errors.ts';
import { checkCallOptions, type Call, type CallOptions, type Script } from '../query/call.ts';
import { QueryMethods } from '../query/query-methods.ts';
import type { Queryable, TransactionOptions } from '../query/queryable.ts';
import { EnclosingCallback, runInside } from './enclosing-callback.ts';
import type { Scope, Session } from './session.ts';

/** The connection of a transaction, and what ends the transaction from outside. */
export interface TransactionHost {
  readonly session: Session;
  readonly observer: Observer;
  /** The request that the transaction belongs to, if there is one. */
  readonly request: RequestOrigin | undefined;
  /** The enclosing transaction. If there is one, this transaction is a savepoint. */
  readonly outer: Scope | undefined;
  /** Throws if the connection no longer belongs to the caller. */
  check(): void;
  /** Aborts when the lease or the outer transaction ends. */
  readonly ended: CancelToken;
}

const BEGIN = { immediate: 'BEGIN IMMEDIATE', deferred: 'BEGIN', exclusive: 'BEGIN EXCLUSIVE' } as const;

/** Random, so that it never equals the name of a SAVEPOINT that a caller makes by hand. */
const SAVEPOINT = `sqlite_pool_${randomBytes(4).toString('hex')}`;

/**
 * Runs `fn` in a transaction. Runs it again from its start after a BUSY_SNAPSHOT, up to `retries` times.
 *
 * @param operation - What the transaction reports, if it had to wait for its connection and something listens.
 */
export function transact<T>(
  host: TransactionHost,
  fn: (tx: QueryMethods) => T | Promise<T>,
  options: TransactionOptions = {},
  operation?: TransactionOperation,
): Promise<T> {
  checkTransaction(fn, options);
  if (operation !== undefined) return transactAgain(host, fn, options, operation);
  const mode = host.outer === undefined ? options.mode : 'savepoint';
  const own = transactionOperation(host.observer, () => host.request, mode);
  return published(own, () => transactAgain(host, fn, options, own));
}

/**
 * Checks a transaction that has to wait for its connection, and publishes it from here on. `run` gets what counts its
 * waits, if something listens.
 */
export function transactionFromCall<T>(
  observer: Observer,
  fn: unknown,
  options: TransactionOptions,
  run: (operation: TransactionOperation | undefined) => Promise<T>,
): Promise<T> {
  try {
    checkTransaction(fn, options);
  } catch (error) {
    return Promise.reject(error);
  }
  const operation = transactionOperation(observer, () => undefined, options.mode);
  return published(operation, () => run(operation));
}

/** What a transaction reports; `undefined` if nothing listens. */
export function transactionOperation(
  observer: Observer,
  origin: () => RequestOrigin | undefined,
  mode: TransactionOperation['mode'] | undefined,
): TransactionOperation | undefined {
  return transactionChannel.hasSubscribers ? new TransactionOperation(observer, origin(), mode) : undefined;
}

/** Publishes `work` as a transaction. Not an async function: that would cost each transaction one more promise. */
export function published<T>(
  operation: TransactionOperation | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return operation === undefined ? work() : traced(transactionChannel, operation, work);
}

async function transactAgain<T>(
  host: TransactionHost,
  fn: (tx: QueryMethods) => T | Promise<T>,
  { mode = 'immediate', retries = 0, signal, timeoutMs = Infinity }: TransactionOptions,
  operation: TransactionOperation | undefined,
): Promise<T> {
  const timeoutError = (): Error => new StatementTimeoutError('transaction', timeoutMs);
  const limit = limitOf(host.observer.clock, timeoutMs, timeoutError, signal, host.ended);
  for (let left = retries; ; left -= 1) {
    try {
      return await transactOnce(host, fn, BEGIN[mode], limit, operation);
    } catch (error) {
      if (left <= 0 || !(error instanceof BusyError) || error.errno !== BUSY_SNAPSHOT) throw error;
    }
  }
}

/** Checks the arguments of a transaction before the pool acquires anything for it. */
export function checkTransaction(fn: unknown, options: TransactionOptions): void {
  if (typeof fn !== 'function')
    throw new InvalidArgumentError('transaction() takes a function: transaction(async (tx) => { … }).');
  checkTransactionOptions(options);
}

/** Checks the options of a transaction whose callback is not known yet. */
export function checkTransactionOptions(options: unknown): asserts options is TransactionOptions {
  checkCallOptions(options, 'mode', 'retries');
  const { mode, retries } = options as TransactionOptions;
  if (mode !== undefined && !Object.hasOwn(BEGIN, mode)) {
    throw new InvalidArgumentError("mode must be 'immediate', 'deferred' or 'exclusive'.");
  }
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0)) {
    throw new InvalidArgumentError('retries must be a whole number from 0.');
  }
}

const ended = (): Error => new LeaseEndedError(ENDED);

async function transactOnce<T>(
  host: TransactionHost,
  fn: (tx: QueryMethods) => T | Promise<T>,
  begin: string,
  limit: Limit,
  operation: TransactionOperation | undefined,
): Promise<T> {
  const { session, outer } = host;
  host.check();
  if (session.scope !== outer) throw new TransactionActiveError();
  const tx = new Transaction(host);
  const { savepoint } = tx;
  // From here on, only `tx` may use the connection. Earlier calls run first, because a connection serves calls in order.
  session.scope = tx;
  // A savepoint has the connection of the transaction around it.
  const enclosed = outer === undefined ? new EnclosingCallback('transaction', session) : undefined;
  let stage: 'beginning' | 'begun' | 'committing' | 'not ours' = 'beginning';
  try {
    const sql = savepoint === undefined ? begin : `SAVEPOINT ${savepoint}`;
    const isOurs = await session.begin(sql, limit, operation);
    stage = isOurs ? 'begun' : 'not ours';
    if (!isOurs) throw new TransactionActiveError();
    const callback = async (): Promise<T> => await fn(tx);
    const value = await bounded(enclosed === undefined ? callback() : runInside(enclosed, callback), limit);
    enclosed?.end();
    tx.seal();
    stage = 'committing';
    await (savepoint === undefined ? session.commit(limit) : session.release(savepoint));
    return value;
  } catch (error) {
    enclosed?.end();
    // If the lease has ended in the meantime, the connection was rolled back with it, and another caller may hold it. If
    // an outer transaction was rolled back, its rollback has removed the savepoint of this one.
    const isGone = !has(session.scope, tx) || host.ended.aborted;
    tx.end();
    // All running and waiting calls on the connection were made on `tx`.
    if ((stage === 'begun' || stage === 'committing') && !isGone) session.cancel(ended);
    const undone = stage !== 'not ours' && !isGone ? tx.undo() : undefined;
    // After its deadline, the caller does not wait for the rollback. The rollback is next in the queue of this
    // connection. And a COMMIT that still runs may take for ever.
    const isUnknown = stage === 'committing' && error instanceof OutcomeUnknownError;
    if (!isCut(error, limit) && !isUnknown) await undone;
    throw error;
  } finally {
    tx.end();
    if (has(session.scope, tx)) session.scope = outer;
  }
}

/** Whether `tx`, or a transaction inside it, uses the connection. */
function has(scope: Scope | undefined, tx: Scope): boolean {
  return scope === tx || isInside(scope, tx);
}

function isCut(error: unknown, { signals }: Limit): boolean {
  return (
    error instanceof StatementTimeoutError ||
    signals.some((signal) => signal.aborted && signal.reason === error)
  );
}

/** The handle that the callback of a transaction receives. */
class Transaction extends QueryMethods implements Scope {
  readonly outer: Scope | undefined;
  /** The name of its savepoint, if this transaction is inside another one. */
  readonly savepoint: string | undefined;
  readonly #host: TransactionHost;
  /** Ends the transactions inside this one. Made on first use. */
  #ended: CancelSource | undefined;
  /** `sealed`: earlier calls still run before the COMMIT; new calls are refused. */
  #state: 'open' | 'sealed' | 'ended' = 'open';

  constructor(host: TransactionHost) {
    super();
    this.#host = host;
    this.outer = host.outer;
    this.savepoint = host.outer && `${SAVEPOINT}_${String(depthOf(host.outer))}`;
  }

  /** The callback has resolved. The handle refuses further calls. Throws if the connection no longer belongs to it. */
  seal(): void {
    this.#check('none');
    this.#state = 'sealed';
  }

  /** Rolls the transaction back. Never rejects: a connection that cannot roll back refuses further calls. */
  undo(): Promise<void> {
    const { session } = this.#host;
    return this.savepoint === undefined ? session.rollback() : session.rollbackTo(this.savepoint);
  }

  /** Ends the handle, and the handles inside it. */
  end(): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#ended?.cancelEach(ended);
  }

  /** @internal */
  override get observer(): Observer {
    return this.#host.observer;
  }

  /** @internal */
  override origin(): RequestOrigin | undefined {
    return this.#host.request;
  }

  /** @internal */
  override perform(call: Call): Promise<Result> {
    this.#check(call.statement.control);
    return this.#host.session.perform(call);
  }

  /** @internal */
  override performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]> {
    this.#check('none');
    return this.#host.session.batch(calls, options);
  }

  /** @internal */
  override step(call: Call): AsyncIterableIterator<Row> {
    this.#check('none');
    return this.#host.session.iterate(call);
  }

  /** @internal */
  override async performScript(script: Script, options: CallOptions): Promise<void> {
    for (const { control } of script.statements) this.#check(control);
    await this.#host.session.script(script, options);
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    this.#check('none');
    checkTransaction(fn, options);
    if (options.mode !== undefined || options.retries !== undefined) {
      throw new InvalidArgumentError(
        'mode and retries are for the outermost transaction: a nested one is a savepoint in it.',
      );
    }
    this.#ended ??= new CancelSource();
    return await transact({ ...this.#host, outer: this, ended: this.#ended }, fn, options);
  }

  #check(control: string): void {
    const { scope } = this.#host.session;
    if (this.#state !== 'open') throw new LeaseEndedError(ENDED);
    if (scope !== this)
      throw isInside(scope, this) ? new TransactionActiveError() : new LeaseEndedError(LEASE_OVER);
    if (control === 'begin' || control === 'commit' || control === 'rollback') {
      throw new InvalidArgumentError(
        'transaction() begins, commits and rolls back by itself: resolve to commit, throw to roll back, and nest transaction() for savepoints.',
      );
    }
  }
}

function depthOf(scope: Scope): number {
  return scope.outer === undefined ? 1 : depthOf(scope.outer) + 1;
}

function isInside(scope: Scope | undefined, outer: Scope): boolean {
  return scope?.outer !== undefined && (scope.outer === outer || isInside(scope.outer, outer));
}

const LEASE_OVER =
  'The lease of this transaction has ended, so it was rolled back. Release a lease after its transactions.';
const ENDED = 'This transaction has ended; its handle cannot be used after its callback.';
