import type { Result, Row } from '../driver.ts';
import { bounded, limitOf, noTimeout, CancelSource, systemClock } from '../waiting/deadline.ts';
import { InvalidArgumentError, LeaseEndedError } from '../errors.ts';
import type { Lease } from '../leasing/lease.ts';
import type { SqlitePool } from '../pool.ts';
import {
  checkCallOptions,
  performAllOn,
  performOn,
  QueryMethods,
  stepOn,
  type Call,
  type Queryable,
  type QueryOptions,
  type TransactionOptions,
} from '../query/queryable.ts';
import { follow, type ResponseEvents } from './response-events.ts';
import { mustWait, needOf, RequestConnection, type Need } from './request-connection.ts';
import { parseScript } from '../query/sql.ts';
import { checkTransaction } from '../connection/transaction.ts';

/**
 * Whether a request keeps one connection from its first statement on, unless others need it in between, or leases one for
 * each statement.
 *
 * @example await app.register(sqlitePool, { filename: 'app.db', lease: 'statement' });
 */
export type LeaseMode = 'request' | 'statement';

/**
 * What a request's `db` is: the query methods, and one connection for several of them. They reject with `LeaseEndedError`
 * after the client has left.
 *
 * @example app.get('/users', (request) => request.db.all('SELECT * FROM users'));
 */
export interface RequestDb extends Queryable {
  /**
   * Runs `fn` with one connection for all its statements. Rejects as `acquire` of the pool does, or with what `fn`
   * rejects with.
   * @example await request.db.connection(async (connection) => { … });
   */
  connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T>;
}

/**
 * How one request uses the pool.
 *
 * @example const options: RequestLeaseOptions = { mode: 'request', graceMs: 30_000, method: 'GET', response };
 */
export interface RequestLeaseOptions {
  readonly mode: LeaseMode;
  /** How long a handler whose client has left may keep its connection, in milliseconds. */
  readonly graceMs: number;
  /** The HTTP method: a GET whose client has left has no reason to go on. */
  readonly method: string;
  /** The response, if there is one to follow. */
  readonly response?: ResponseEvents | undefined;
}

/**
 * One request's use of the pool: every plugin makes one of these per request and tells it when the response begins, if
 * it knows that before the response itself does. A request that never uses the database costs nothing else.
 *
 * `handling`: the first statement leases a connection (in mode `request`), and the next ones use the same.
 * `abandoned`: the client has left in the middle of a change it asked for. The handler may finish, bounded by `graceMs`;
 * its connection goes back as soon as nothing runs on it and no transaction is open, because nobody may ever respond.
 * `responded`: the response has begun, so the request keeps no connection any more: it goes back as soon as nothing
 * runs on it, before the bytes travel. A streaming body, or work after the response, leases per statement.
 * `revoked`: the client has left. What runs is interrupted, what comes next gets `LeaseEndedError`.
 */
type RequestState = 'handling' | 'abandoned' | 'responded' | 'revoked';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * A request's `db`, see {@link RequestDb}, for a plugin of your own.
 *
 * @example
 * http.createServer(async (request, response) => {
 *   const db = new RequestLease(pool, { mode: 'request', graceMs: 30_000, method: request.method ?? 'GET', response });
 *   response.end(JSON.stringify(await db.all('SELECT * FROM users')));
 * });
 */
export class RequestLease extends QueryMethods implements RequestDb {
  readonly #pool: SqlitePool;
  readonly #options: RequestLeaseOptions;
  #state: RequestState = 'handling';
  /** The connection that the next read uses. */
  #own: RequestConnection | undefined;
  /** Calls that began before the response, and are not done. */
  #calls = 0;
  /** Whether the response is followed: from the first use on, because most requests of a server may never use it. */
  #follows = false;
  /** Aborts when the request is revoked, for calls on the pool. Made when there is one. */
  #controller: AbortController | undefined;
  /** The same for the wait for a connection of the request. */
  readonly #cancelSource = new CancelSource();
  #revokedBecause: LeaseEndedError | undefined;
  #cancelGrace: (() => void) | undefined;
  #beforeResponse: (() => void) | undefined;

  constructor(pool: SqlitePool, options: RequestLeaseOptions) {
    super();
    this.#pool = pool;
    this.#options = options;
  }

  /** Whether another one for this pool and mode would be the same again: a plugin that runs twice makes one of them. */
  isFor(pool: SqlitePool, mode: LeaseMode): boolean {
    return this.#pool === pool && this.#options.mode === mode;
  }

  /**
   * The response begins, or the handler is done: from now on the request keeps no connection.
   *
   * @example lease.respond();
   */
  respond(): void {
    this.#beforeResponse?.();
    if (this.#state !== 'revoked') this.#state = 'responded';
    this.#settle();
  }

  /** Has `listener` called when the response begins, and follows the response from now on. @internal */
  beforeResponse(listener: () => void): void {
    this.#beforeResponse = listener;
    this.#follow();
  }

  /**
   * The client has left: interrupts what runs and refuses what comes, both with `reason`.
   *
   * @example lease.revoke(new LeaseEndedError('The socket was closed.'));
   */
  revoke(reason: LeaseEndedError = new LeaseEndedError(CLIENT_LEFT)): void {
    if (this.#state === 'revoked') return;
    this.#state = 'revoked';
    this.#notSpare();
    this.#cancelGrace?.();
    this.#revokedBecause = reason;
    this.#controller?.abort(reason);
    this.#cancelSource.cancel(reason);
    // A cursor may wait for a consumer that never takes another step, so the signal alone would not end it. A lease on
    // its way here finds out when it arrives.
    for (let own = this.#own; own !== undefined; own = own.before)
      if (!(own.lease instanceof Promise)) void own.lease.revoke(reason);
  }

  async connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T> {
    if (typeof fn !== 'function') throw new InvalidArgumentError('connection() takes a function.');
    return await this.#use('pin', false, {}, (lease) => fn(lease));
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkCallOptions(options);
    const statements = parseScript(sql);
    await this.#use(needOf(statements), mustWait(statements), options, (db, limits) =>
      db.script(sql, limits),
    );
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(fn, options);
    return await this.#transact('state', fn, options);
  }

  /** As `transaction`, but in every mode on a connection of the request, which {@link RequestLease.keepWhile} can keep. @internal */
  pinnedTransaction(fn: (tx: Queryable) => Promise<void>, options: TransactionOptions): Promise<void> {
    return this.#transact('pin', fn, options);
  }

  /** Keeps the connection of the request until `rows` have been read, which were opened on it. @internal */
  async *keepWhile(rows: AsyncIterable<Row>): AsyncGenerator<Row, void, undefined> {
    const own = this.#enter('pin', undefined);
    try {
      yield* rows;
    } finally {
      this.#leave(own, 'pin');
    }
  }

  protected override perform(call: Call): Promise<Result> {
    const statements = [call.statement];
    return this.#use(needOf(statements), mustWait(statements), call, performOn);
  }

  protected override performAll(calls: readonly Call[], options: QueryOptions): Promise<Result[]> {
    const statements = calls.map(({ statement }) => statement);
    return this.#use(needOf(statements), mustWait(statements), options, (db, own) =>
      performAllOn(db, calls, own),
    );
  }

  protected override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    this.#check('pin', false);
    const own = this.#enter('pin', undefined);
    try {
      yield* stepOn(await this.#leaseOf(own, call.signal), call);
    } finally {
      this.#leave(own, 'pin');
    }
  }

  #transact<T>(need: Need, fn: (tx: Queryable) => T | Promise<T>, options: TransactionOptions): Promise<T> {
    return this.#use(need, options.mode !== 'deferred', options, (db, own) => db.transaction(fn, own));
  }

  /** Runs `use` on a connection of the request, or on the pool itself. `waits`: it must wait for the write lock. */
  async #use<Limits extends QueryOptions, T>(
    need: Need,
    waits: boolean,
    options: Limits,
    use: (db: Lease | SqlitePool, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    const where = this.#check(need, waits);
    if (where === 'pool') return await use(this.#pool, this.#revocable(options));
    if (where === 'own') return await this.#useOwn(need, waits, options, use);
    this.#calls += 1;
    try {
      return await use(this.#pool, this.#revocable(options));
    } finally {
      this.#calls -= 1;
      this.#settle();
    }
  }

  /**
   * Calls that wait to write wait before they take a connection, as on the pool: a reader may need it. One call of the request waits
   * for the write lock, and the others for the connection of that call: if each waited for the lock, the second could hold the
   * connection that the first one needs.
   */
  async #useOwn<Limits extends QueryOptions, T>(
    need: Need,
    waits: boolean,
    options: Limits,
    use: (db: Lease, options: Limits) => T | Promise<T>,
  ): Promise<T> {
    const keeps = this.#own?.mustStay === true;
    const turn = waits && !keeps ? this.#pool.acquireWriter(this.#signal) : undefined;
    const own = this.#enter(need, turn);
    try {
      const lease = this.#leaseOf(own, options.signal);
      return await use(lease instanceof Promise ? await lease : lease, options);
    } finally {
      turn?.then(
        (leave) => {
          leave();
        },
        () => undefined,
      );
      this.#leave(own, need);
    }
  }

  /**
   * Where a call runs; what is decided here holds to its end. Throws if it is refused. `pool-counted`: it began before the response,
   * so a response that has closed bounds it.
   *
   * A call that waits to write holds no connection meanwhile: one that nothing uses goes back first.
   */
  #check(need: Need, waits: boolean): 'own' | 'pool-counted' | 'pool' {
    this.#follow();
    if (this.#revokedBecause !== undefined) throw this.#revokedBecause;
    const own = this.#own;
    if (own?.mustStay === true) return 'own';
    const pins = need === 'pin';
    if (this.#state === 'responded' && !pins) return 'pool';
    if (this.#options.mode === 'statement' && !pins) return 'pool-counted';
    if (own?.isUsed === false && (need === 'write' || waits)) this.#giveBack(own);
    return need === 'write' ? 'pool-counted' : 'own';
  }

  /** A use of the request's connection; of another one than reads use at the moment, if the call waits for the write lock. */
  #enter(need: Need, turn: Promise<unknown> | undefined): RequestConnection {
    this.#notSpare();
    if (this.#own === undefined || turn !== undefined) this.#own = this.#acquire(turn);
    this.#own.begin(need);
    this.#calls += 1;
    return this.#own;
  }

  #leave(own: RequestConnection, need: Need): void {
    own.end(need);
    this.#calls -= 1;
    if (own !== this.#own && !own.isUsed) own.release();
    this.#settle();
  }

  /** At once, if the pool has an idle one and nothing is to be waited for before. */
  #acquire(turn: Promise<unknown> | undefined): RequestConnection {
    const lease = this.#pool.createLease(this.#cancelSource, turn);
    const own = new RequestConnection(lease, this.#own, this.#giveBack);
    if (lease instanceof Promise) own.lease = this.#arrive(own, lease);
    return own;
  }

  async #arrive(own: RequestConnection, coming: Promise<Lease>): Promise<Lease> {
    try {
      const lease = await coming;
      // The client left in the moment in which the connection came.
      if (this.#revokedBecause !== undefined) void lease.revoke(this.#revokedBecause);
      return (own.lease = lease);
    } catch (error) {
      // The next call of this request may try again.
      if (this.#own === own) this.#own = own.before;
      throw error;
    }
  }

  /** The lease is for the whole request: a call that is cancelled gives up waiting for it, and leaves it to the others. */
  #leaseOf({ lease }: RequestConnection, signal: AbortSignal | undefined): Lease | Promise<Lease> {
    return lease instanceof Promise
      ? bounded(lease, limitOf(systemClock, Infinity, noTimeout, signal))
      : lease;
  }

  /** Lets go of what nothing uses and nothing can need any more. */
  #settle(): void {
    if (this.#own?.isUsed === false) this.#release(this.#own);
    // Nothing is left that the end of the grace could be waiting for.
    if (this.#calls === 0 && this.#own === undefined && this.#state === 'responded') this.#cancelGrace?.();
  }

  #notSpare(): void {
    if (this.#own !== undefined) this.#pool.idleLeases.delete(this.#own);
  }

  #release(own: RequestConnection): void {
    const { lease } = own;
    const keeps = this.#options.mode === 'request';
    if (keeps && this.#state === 'handling') {
      if (own.mustStay) return;
      // Kept for the next read, unless someone needs it before that: a handler may wait for its client meanwhile. Where every call
      // has given up, it has not come yet, or is still busy: nobody could have it back then, not even a write of this request.
      if (!(lease instanceof Promise) && lease.isClean) this.#pool.idleLeases.add(own);
      else this.#giveBack(own);
      return;
    }
    if (!(lease instanceof Promise) && lease.inTransaction) {
      if (this.#state === 'abandoned') return;
      // Statements that follow belong to a transaction that is rolled back now; alone they would commit one by one.
      if (keeps) this.revoke(new LeaseEndedError(ROLLED_BACK));
    }
    this.#giveBack(own);
  }

  /** The request's next call uses another connection. */
  readonly #giveBack = (own: RequestConnection): void => {
    this.#notSpare();
    this.#own = own.before;
    own.release();
  };

  get #signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  /** For a call on the pool. One on a lease of the request needs no signal of ours: the lease is revoked with the request. */
  #revocable<Limits extends QueryOptions>(options: Limits): Limits {
    const { signal } = options;
    return {
      ...options,
      signal: signal === undefined ? this.#signal : AbortSignal.any([signal, this.#signal]),
    };
  }

  #follow(): void {
    if (this.#follows) return;
    this.#follows = true;
    const { response } = this.#options;
    if (response === undefined) return;
    follow(
      response,
      () => {
        this.respond();
      },
      () => {
        this.#closed(response);
      },
    );
  }

  #closed(response: ResponseEvents): void {
    const { method, graceMs } = this.#options;
    if (this.#state === 'revoked') return;
    // Ended, not finished: whether the last bytes arrived makes no difference to a handler that has sent them.
    if (response.writableEnded) {
      this.respond();
      // Begun before the answer and still not done: a handler that hangs, whose answer was a timeout's.
      if (this.#calls > 0 || this.#own !== undefined) this.#revokeAfter(graceMs);
    } else if (this.#state === 'responded' || SAFE_METHODS.has(method)) this.revoke();
    else {
      this.#state = 'abandoned';
      // The application has ended its answer itself, because a stream failed for example: nothing of it is kept.
      if (response.errored instanceof Error) this.#beforeResponse?.();
      this.#settle();
      this.#revokeAfter(graceMs);
    }
  }

  /** Unless nothing is left to revoke before that, which `#settle` sees. */
  #revokeAfter(graceMs: number): void {
    const revoke = (): void => {
      this.revoke();
    };
    this.#cancelGrace = this.#pool.clock.schedule(revoke, graceMs, true);
  }
}

const CLIENT_LEFT =
  'The client has left, so the connection of this request was taken back. Use the pool for work that outlives a request.';
const ROLLED_BACK =
  'The response began while a transaction of this request was open, so it was rolled back. Commit before you respond, or use transaction().';
