import type { Result, Row } from './driver.ts';
import { batchWrites } from './batch.ts';
import { bounded, limitOf, noTimeout, Revocation, systemClock } from './deadline.ts';
import { InvalidArgumentError, LeaseEndedError } from './errors.ts';
import type { Lease } from './lease.ts';
import type { Spare } from './leases.ts';
import type { SqlitePool } from './pool.ts';
import {
  checkLimits,
  performAllOn,
  performOn,
  QueryMethods,
  stepOn,
  type Call,
  type Queryable,
  type QueryOptions,
  type TransactionOptions,
} from './queryable.ts';
import { follow, type ResponseEvents } from './response-events.ts';
import { scriptWrites } from './sql.ts';
import { checkTransaction } from './transaction.ts';

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
  /** The request's connection: a promise while it is being acquired. */
  #lease: Lease | Promise<Lease> | undefined;
  /** What it is among those who keep a connection without using it. Made when it first does. */
  #spare: Spare | undefined;
  /** Calls that were begun before the response, or on the request's connection, and are not done. */
  #using = 0;
  /** Whether the response is followed: from the first use on, because most requests of a server may never use it. */
  #follows = false;
  /** Aborts when the request is revoked, for calls on the pool. Made when there is one. */
  #controller: AbortController | undefined;
  /** The same for the wait for the request's own connection. */
  readonly #revocation = new Revocation();
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
    this.#letGo();
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
    this.#revocation.abort(reason);
    // A cursor may wait for a consumer that never takes another step, so the signal alone would not end it. A lease on
    // its way here finds out when it arrives.
    if (this.#lease !== undefined && !(this.#lease instanceof Promise)) void this.#lease.revoke(reason);
  }

  async connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T> {
    if (typeof fn !== 'function') throw new InvalidArgumentError('connection() takes a function.');
    const lease = await this.#pin(undefined);
    try {
      return await fn(lease);
    } finally {
      this.#leave();
    }
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkLimits(options);
    const writes = scriptWrites(sql);
    await this.#use(writes, options, (db, limits) => db.script(sql, limits));
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(fn, options);
    return await this.#use(options.mode !== 'deferred', options, (db, own) => db.transaction(fn, own));
  }

  protected override perform(call: Call): Promise<Result> {
    return this.#use(!call.statement.readonly, call, performOn);
  }

  protected override performAll(calls: readonly Call[], options: QueryOptions): Promise<Result[]> {
    return this.#use(batchWrites(calls), options, (db, own) => performAllOn(db, calls, own));
  }

  protected override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    const lease = await this.#pin(call.signal);
    try {
      yield* stepOn(lease, call);
    } finally {
      this.#leave();
    }
  }

  /** Runs `use` on the request's lease, or on the pool itself when the request keeps no connection. */
  async #use<Options extends QueryOptions, T>(
    writes: boolean,
    options: Options,
    use: (db: Lease | SqlitePool, options: Options) => Promise<T>,
  ): Promise<T> {
    const where = this.#check();
    if (where === 'pool') return await use(this.#pool, this.#revocable(options));
    this.#using += 1;
    try {
      if (where === 'pool-counted') return await use(this.#pool, this.#revocable(options));
      // As on the pool: those who wait to write do not hold a connection that a reader needs. One call of a request
      // waits for the turn, and the others for that call's connection: if each took a turn, the second could hold the
      // connection that the next in line needs before it lets the second in.
      const turn = writes && this.#lease === undefined ? this.#pool.writerTurn(this.#signal) : undefined;
      try {
        const lease = this.#ownLease(options.signal, turn);
        return await use(lease instanceof Promise ? await lease : lease, options);
      } finally {
        turn?.then(
          (leave) => {
            leave();
          },
          () => undefined,
        );
      }
    } finally {
      this.#leave();
    }
  }

  /** The request's lease, for a cursor or a callback; what else the request does meanwhile is on it too. */
  async #pin(signal: AbortSignal | undefined): Promise<Lease> {
    this.#check();
    this.#using += 1;
    try {
      return await this.#ownLease(signal);
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /**
   * Where a call runs; what is decided here holds to its end. Throws if it is refused. `pool-counted`: it was begun before
   * the response, so a response that has closed bounds it.
   */
  #check(): 'own' | 'pool-counted' | 'pool' {
    this.#follow();
    if (this.#revokedBecause !== undefined) throw this.#revokedBecause;
    this.#notSpare();
    if (this.#lease !== undefined) return 'own';
    if (this.#state === 'responded') return 'pool';
    return this.#options.mode === 'request' ? 'own' : 'pool-counted';
  }

  #leave(): void {
    this.#using -= 1;
    this.#letGo();
  }

  /** At once, if it is there or the pool has an idle one. */
  #ownLease(signal: AbortSignal | undefined, turn?: Promise<unknown>): Lease | Promise<Lease> {
    this.#lease ??= turn === undefined ? this.#lend() : this.#lendAfter(turn);
    if (!(this.#lease instanceof Promise)) return this.#lease;
    // The lease is for the whole request: a call that is cancelled gives up waiting for it, and leaves it to the others.
    return bounded(this.#lease, limitOf(systemClock, Infinity, noTimeout, signal));
  }

  #lend(): Lease | Promise<Lease> {
    const lease = this.#pool.lend(this.#revocation);
    return lease instanceof Promise ? this.#arrive(lease) : lease;
  }

  #lendAfter(turn: Promise<unknown>): Promise<Lease> {
    return this.#arrive(turn.then(() => this.#pool.lend(this.#revocation)));
  }

  async #arrive(coming: Promise<Lease>): Promise<Lease> {
    try {
      const lease = await coming;
      // The client left in the moment in which the connection came.
      if (this.#revokedBecause !== undefined) void lease.revoke(this.#revokedBecause);
      return (this.#lease = lease);
    } catch (error) {
      // The next call of this request may try again.
      this.#lease = undefined;
      throw error;
    }
  }

  /** Gives the request's connection back when nothing runs on it and nothing can need it any more. */
  #letGo(): void {
    if (this.#using > 0) return;
    if (this.#lease !== undefined) this.#release(this.#lease);
    // Nothing is left that the end of the grace could be waiting for.
    if (this.#lease === undefined && this.#state === 'responded') this.#cancelGrace?.();
  }

  #asSpare(): Spare {
    return {
      place: undefined,
      giveBack: () => {
        // Only what is there, and not used, is spare.
        const lease = this.#lease as Lease;
        this.#lease = undefined;
        void lease.release();
      },
    };
  }

  #notSpare(): void {
    if (this.#spare !== undefined) this.#pool.spares.delete(this.#spare);
  }

  #release(lease: Lease | Promise<Lease>): void {
    const keeps = this.#options.mode === 'request';
    if (keeps && this.#state === 'handling') {
      // Kept for the next statement, unless someone needs it before that: a handler may wait for its client meanwhile.
      if (!(lease instanceof Promise) && lease.isClean)
        this.#pool.spares.add((this.#spare ??= this.#asSpare()));
      return;
    }
    this.#notSpare();
    if (lease instanceof Promise) {
      // Every caller has given up waiting for it.
      lease.then(
        () => {
          this.#letGo();
        },
        () => undefined,
      );
      return;
    }
    if (lease.inTransaction && this.#state === 'abandoned') return;
    this.#lease = undefined;
    // Statements that follow belong to a transaction that is rolled back now; alone they would commit one by one.
    if (keeps && lease.inTransaction) this.revoke(new LeaseEndedError(ROLLED_BACK));
    void lease.release();
  }

  get #signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  /** For a call on the pool. One on the request's lease needs no signal of ours: the lease is revoked with the request. */
  #revocable<Options extends QueryOptions>(options: Options): Options {
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
      if (this.#using > 0 || this.#lease !== undefined) this.#revokeAfter(graceMs);
    } else if (this.#state === 'responded' || SAFE_METHODS.has(method)) this.revoke();
    else {
      this.#state = 'abandoned';
      this.#letGo();
      this.#revokeAfter(graceMs);
    }
  }

  /** Unless nothing is left to revoke before that, which `#letGo` sees. */
  #revokeAfter(graceMs: number): void {
    const revoke = (): void => {
      this.revoke();
    };
    this.#cancelGrace = systemClock.schedule(revoke, graceMs, true);
  }
}

const CLIENT_LEFT =
  'The client has left, so the connection of this request was taken back. Use the pool for work that outlives a request.';
const ROLLED_BACK =
  'The response began while a transaction of this request was open, so it was rolled back. Commit before you respond, or use transaction().';
