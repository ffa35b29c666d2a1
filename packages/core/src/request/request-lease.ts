import type { RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import type { TransactionOperation } from '../diagnostics/operation.ts';
import type { Result, Row } from '../driver.ts';
import { InvalidArgumentError, LeaseEndedError } from '../errors.ts';
import type { Waits } from '../leasing/connection-pool.ts';
import { Lease } from '../leasing/lease.ts';
import type { SqlitePool } from '../pool.ts';
import { QueryMethods } from '../query/query-methods.ts';
import type { Call, CallOptions, Script } from '../query/call.ts';
import type { Queryable, TransactionOptions } from '../query/queryable.ts';
import { RequestLifetime, type RequestFacts } from './request-lifetime.ts';
import { mustWait, needOf, RequestConnection, type Need } from './request-connection.ts';
import type { LeaseMode, RequestDb } from './request-db.ts';
import { checkTransaction, published, transactionOperation } from '../connection/transaction.ts';

/**
 * How one request uses the pool.
 *
 * @example const options: RequestLeaseOptions = { mode: 'request', disconnectGraceMs: 30_000, method: 'GET', response };
 */
export interface RequestLeaseOptions extends RequestFacts {
  readonly mode: LeaseMode;
}

/**
 * The `db` of a request, see {@link RequestDb}, for a plugin of your own. Every plugin makes one per request. It reports
 * the beginning of the response, if it knows that before the response itself does. A request that never uses the
 * database costs nothing else.
 *
 * @example
 * http.createServer(async (request, response) => {
 *   const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 30_000, method: request.method ?? 'GET', response });
 *   response.end(JSON.stringify(await db.all('SELECT * FROM users')));
 * });
 */
export class RequestLease extends QueryMethods implements RequestDb {
  readonly #pool: SqlitePool;
  readonly #mode: LeaseMode;
  readonly #options: RequestLeaseOptions;
  /** Made at the first use, because most requests of a server may never use the pool. */
  #followed: RequestLifetime | undefined;
  #hasResponded = false;
  /** The connection for the next read. */
  #own: RequestConnection | undefined;
  /** The calls that began before the response and still run. */
  #calls = 0;

  constructor(pool: SqlitePool, options: RequestLeaseOptions) {
    super();
    this.#pool = pool;
    this.#mode = options.mode;
    this.#options = options;
  }

  get #lifetime(): RequestLifetime {
    if (this.#followed !== undefined) return this.#followed;
    this.#followed = new RequestLifetime(this.#options, this.#pool.observer, {
      isBusy: () => this.#calls > 0 || this.#own !== undefined,
      settle: () => {
        this.#settle();
      },
      revoke: (reason) => {
        this.#revokeLeases(reason);
      },
    });
    if (this.#hasResponded) this.#followed.respond();
    return this.#followed;
  }

  /** Whether another lease for this pool and mode would be equal. A plugin that runs twice makes only one. */
  isFor(pool: SqlitePool, mode: LeaseMode): boolean {
    return this.#pool === pool && this.#mode === mode;
  }

  /**
   * Reports that the response begins, or that the handler is done. From now on the request keeps no connection.
   *
   * @example lease.respond();
   */
  respond(): void {
    this.#hasResponded = true;
    this.#followed?.respond();
  }

  /** Notes that a statement of the request has failed. @internal */
  failed(error: unknown): void {
    this.#lifetime.report.failed(error);
  }

  /** Calls `listener` when the response begins, and follows the response from now on. @internal */
  beforeResponse(listener: () => void): void {
    this.#lifetime.beforeResponse(listener);
  }

  /**
   * Revokes the request, because the client has left. Running calls are interrupted and later calls are refused, both
   * with `reason`.
   *
   * @example lease.revoke(new LeaseEndedError('The socket was closed.'));
   */
  revoke(reason?: LeaseEndedError): void {
    this.#lifetime.revoke(reason);
  }

  async connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T> {
    if (typeof fn !== 'function') throw new InvalidArgumentError('connection() takes a function.');
    return await this.#pin(false, {}, (lease) => lease.hold(fn));
  }

  /** @internal */
  override async performScript(script: Script, options: CallOptions): Promise<void> {
    const { statements } = script;
    await this.#use(needOf(statements), mustWait(statements), options, (db, own) =>
      db.performScript(script, own),
    );
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(fn, options);
    const operation = transactionOperation(this.observer, () => this.origin(), options.mode);
    const waits = { signal: options.signal, operation };
    return await published(operation, () =>
      this.#use('state', options.mode !== 'deferred', waits, (db, { signal }) =>
        db.transact(fn, { ...options, signal }, operation),
      ),
    );
  }

  /**
   * As `transaction`, but in every mode on a connection of the request, which {@link RequestLease.keepWhile} can keep.
   * `operation` counts its waits. @internal
   */
  pinnedTransaction(
    fn: (tx: QueryMethods) => Promise<void>,
    options: TransactionOptions,
    operation: TransactionOperation | undefined,
  ): Promise<void> {
    const waits = { signal: options.signal, operation };
    return this.#pin(options.mode !== 'deferred', waits, (lease) => lease.transact(fn, options, operation));
  }

  /** Keeps the connection of the request until `rows` have been read. `rows` must be open on that connection. @internal */
  async *keepWhile(rows: AsyncIterable<Row>): AsyncGenerator<Row, void, undefined> {
    const own = this.#beginUse('pin', undefined);
    try {
      yield* rows;
    } finally {
      this.#endUse(own, 'pin');
    }
  }

  /** @internal */
  override get observer(): Observer {
    return this.#pool.observer;
  }

  /** @internal */
  override origin(): RequestOrigin | undefined {
    return this.#lifetime.origin();
  }

  /** @internal */
  override perform(call: Call): Promise<Result> {
    const statements = [call.statement];
    const need = needOf(statements);
    // A read runs on any thread, so that no request waits for the long statement of another one.
    const anywhere = need === 'read' && this.#own?.wasPinned !== true;
    return this.#use(need, mustWait(statements), call, (db, own) =>
      anywhere && db instanceof Lease ? db.performAnywhere(own) : db.perform(own),
    );
  }

  /** @internal */
  override performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]> {
    const statements = calls.map(({ statement }) => statement);
    return this.#use(needOf(statements), mustWait(statements), options, (db, own) =>
      db.performAll(calls, own),
    );
  }

  /** @internal */
  override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    this.#check('pin', false);
    const own = this.#beginUse('pin', undefined);
    try {
      const lease = await own.leaseFor(call.signal);
      yield* lease.step(call);
    } finally {
      this.#endUse(own, 'pin');
    }
  }

  /** Runs `use` on one connection of the request, in every mode. `waits`: the call must wait for the write lock. */
  async #pin<Limits extends Waits, T>(
    waits: boolean,
    options: Limits,
    use: (lease: Lease, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    this.#check('pin', waits);
    try {
      return await this.#useOwn('pin', waits, options, use);
    } catch (error) {
      this.failed(error);
      throw error;
    }
  }

  /** Runs `use` on a connection of the request, or on the pool itself. `waits`: the call must wait for the write lock. */
  async #use<Limits extends Waits, T>(
    need: Exclude<Need, 'pin'>,
    waits: boolean,
    options: Limits,
    use: (db: Lease | SqlitePool, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    const where = this.#check(need, waits);
    try {
      if (where === 'pool') return await use(this.#pool, this.#lifetime.revocable(options));
      if (where === 'own') return await this.#useOwn(need, waits, options, use);
      return await this.#useCounted(options, use);
    } catch (error) {
      this.failed(error);
      throw error;
    }
  }

  async #useCounted<Limits extends Waits, T>(
    options: Limits,
    use: (db: SqlitePool, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    this.#calls += 1;
    try {
      return await use(this.#pool, this.#lifetime.revocable(options));
    } finally {
      this.#calls -= 1;
      this.#settle();
    }
  }

  /**
   * A call that waits to write waits before it acquires a connection, as on the pool, because a reader may need the
   * connection. One call of the request waits for the write lock. The others wait for the connection of that call. If
   * each waited for the lock, the second could keep the connection that the first one needs.
   */
  async #useOwn<Limits extends Waits, T>(
    need: Need,
    waits: boolean,
    options: Limits,
    use: (db: Lease, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    const keeps = this.#own?.mustStay === true;
    const writer =
      waits && !keeps
        ? this.#pool.acquireWriter({ signal: this.#lifetime.signal, operation: options.operation })
        : undefined;
    const own = this.#beginUse(need, writer);
    try {
      const lease = own.leaseFor(options.signal);
      return await use(lease instanceof Promise ? await lease : lease, options);
    } finally {
      writer?.then(
        (release) => {
          release();
        },
        () => undefined,
      );
      this.#endUse(own, need);
    }
  }

  /**
   * Decides where a call runs. The decision holds to the end of the call. Throws if the call is refused.
   * `pool-counted`: the call began before the response, so that the close of the response limits it.
   *
   * A call that waits to write keeps no connection in the meantime. So an unused connection is released first.
   */
  #check(need: Need, waits: boolean): 'own' | 'pool-counted' | 'pool' {
    const lifetime = this.#lifetime;
    lifetime.follow();
    if (lifetime.revokedBecause !== undefined) throw lifetime.revokedBecause;
    const own = this.#own;
    if (own?.mustStay === true) return 'own';
    const pins = need === 'pin';
    if (lifetime.state === 'responded' && !pins) return 'pool';
    if (this.#mode === 'statement' && !pins) return 'pool-counted';
    if (own?.isUsed === false && (need === 'write' || waits)) this.#release(own);
    return need === 'write' ? 'pool-counted' : 'own';
  }

  /**
   * Begins a use of the request's connection. A call that waits for the write lock uses another connection than current
   * reads.
   */
  #beginUse(need: Need, writer: Promise<unknown> | undefined): RequestConnection {
    this.#preventReclaim();
    if (this.#own === undefined || writer !== undefined) this.#own = this.#acquire(writer);
    this.#own.begin(need);
    this.#calls += 1;
    return this.#own;
  }

  #endUse(own: RequestConnection, need: Need): void {
    own.end(need);
    this.#calls -= 1;
    if (own !== this.#own && !own.isUsed) own.release();
    this.#settle();
  }

  /** Acquires a connection: at once, if the pool has an idle one and the call need not wait for the write lock first. */
  #acquire(writer: Promise<unknown> | undefined): RequestConnection {
    const lease = this.#pool.createLease(
      this.#lifetime.cancelSource,
      writer,
      this.observer.listens ? this.origin() : undefined,
    );
    const own = new RequestConnection(lease, this.#own, this.#release);
    if (lease instanceof Promise) own.lease = this.#arrive(own, lease);
    return own;
  }

  async #arrive(own: RequestConnection, coming: Promise<Lease>): Promise<Lease> {
    try {
      const lease = await coming;
      // The client left at the moment when the connection was acquired.
      const { revokedBecause } = this.#lifetime;
      if (revokedBecause !== undefined) void lease.revoke(revokedBecause);
      return (own.lease = lease);
    } catch (error) {
      // The next call of this request may try again.
      if (this.#own === own) this.#own = own.before;
      throw error;
    }
  }

  /** Releases a connection that nothing uses and nothing can need any more. */
  #settle(): void {
    if (this.#own?.isUsed === false) this.#releaseOrKeep(this.#own);
    if (this.#calls === 0 && this.#own === undefined) this.#lifetime.rest();
  }

  #revokeLeases(reason: LeaseEndedError): void {
    this.#preventReclaim();
    // A cursor may wait for a consumer that never takes another step, so the signal alone would not end it. A lease that
    // is still being acquired is revoked in `#arrive`.
    for (let own = this.#own; own !== undefined; own = own.before)
      if (!(own.lease instanceof Promise)) void own.lease.revoke(reason);
  }

  #preventReclaim(): void {
    if (this.#own !== undefined) this.#pool.idleLeases.delete(this.#own);
  }

  #releaseOrKeep(own: RequestConnection): void {
    const { lease } = own;
    const { state } = this.#lifetime;
    const keeps = this.#mode === 'request';
    if (keeps && state === 'handling') {
      if (own.mustStay) {
        // A rollback may still run: after its deadline, the caller of a transaction does not wait for it.
        own.whenCalm(() => {
          this.#settle();
        });
        return;
      }
      // Kept for the next read, unless another caller needs it before: the handler may wait for its client in the
      // meantime. If every call has stopped waiting, the lease is not acquired yet or is still busy. Then the pool could
      // not reclaim it, not even for a write of this request.
      if (!(lease instanceof Promise) && lease.isClean) this.#pool.idleLeases.add(own);
      else this.#release(own);
      return;
    }
    if (!(lease instanceof Promise) && lease.inTransaction) {
      if (state === 'abandoned') return;
      // Later statements belong to a transaction that is rolled back now. Alone they would commit one by one.
      this.#lifetime.report.forgotCommit();
      if (keeps) this.revoke(new LeaseEndedError(ROLLED_BACK));
    }
    this.#release(own);
  }

  /** The next call of the request uses another connection. */
  readonly #release = (own: RequestConnection): void => {
    this.#preventReclaim();
    this.#own = own.before;
    own.release();
  };
}

const ROLLED_BACK =
  'The response began while a transaction of this request was open, so it was rolled back. Commit before you respond, or use transaction().';
