import { type Result, type Row } from './driver.ts';
import { bounded, limitOf, systemClock } from './deadline.ts';
import { LeaseEndedError } from './errors.ts';
import { type Lease } from './lease.ts';
import { type SqlitePool } from './pool.ts';
import { checkLimits, QueryMethods, type Call, type Queryable, type QueryOptions, type TransactionOptions } from './queryable.ts';
import { parseScript } from './sql.ts';

/** Whether a request keeps one connection from its first statement on, or leases one for each statement. */
export type LeaseMode = 'request' | 'statement';

/** What a request's `db` is: the query methods, and one connection for several of them. */
export interface RequestDb extends Queryable {
  /**
   * Runs `fn` with one connection for all its statements.
   * @example await request.db.connection(async (connection) => { … });
   */
  connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T>;
}

/** What is used of a Node.js response: its `close` event, the only one that comes whatever happens. */
export interface ResponseEvents {
  readonly closed: boolean;
  readonly writableFinished: boolean;
  once(event: 'close', listener: () => void): unknown;
}

/** How one request uses the pool. */
export interface RequestLeaseOptions {
  readonly mode: LeaseMode;
  /** How long a handler whose client has left may keep its connection, in milliseconds. */
  readonly graceMs: number;
  /** The HTTP method: a GET whose client has left has no reason to go on. */
  readonly method: string;
  /** The response, if there is one to follow. */
  readonly response?: ResponseEvents | undefined;
  /** Called before the first statement; requests that never use the database cost nothing. */
  readonly onFirstUse?: (() => void) | undefined;
}

/**
 * One request's use of the pool: every plugin makes one of these per request and tells it when the response begins.
 *
 * `handling`: the first statement leases a connection (in mode `request`), and the next ones use the same.
 * `responded`: the response has begun, so the request keeps no connection any more: it goes back as soon as nothing
 * runs on it, before the bytes travel. A streaming body, or work after the response, leases per statement.
 * `revoked`: the client has left. What runs is interrupted, what comes next gets `LeaseEndedError`.
 */
type RequestState = 'handling' | 'responded' | 'revoked';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A request's `db`. See {@link RequestDb}. */
export class RequestLease extends QueryMethods implements RequestDb {
  readonly #pool: SqlitePool;
  readonly #options: RequestLeaseOptions;
  #state: RequestState = 'handling';
  #lease: Promise<Lease> | undefined;
  /** Calls under way on the lease. */
  #using = 0;
  /** Aborts when the request is revoked. Made at the first use, because most requests of a server may never use it. */
  #controller: AbortController | undefined;

  constructor(pool: SqlitePool, options: RequestLeaseOptions) {
    super();
    this.#pool = pool;
    this.#options = options;
  }

  /** The response begins, or the handler is done: from now on the request keeps no connection. */
  respond(): void {
    if (this.#state === 'handling') this.#state = 'responded';
    this.#letGo();
  }

  /** The client has left: interrupts what runs and refuses what comes. */
  revoke(): void {
    if (this.#state === 'revoked') return;
    this.#state = 'revoked';
    const reason = new LeaseEndedError(REVOKED);
    this.#controller?.abort(reason);
    void this.#lease?.then((lease) => lease.revoke(reason)).catch(() => undefined);
  }

  async connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T> {
    return await this.#use(false, {}, async (db, { signal }) => {
      if (db !== this.#pool) return await fn(db);
      return await this.#pool.connection(async (lease) => {
        const revoke = (): void => void lease.revoke();
        signal?.addEventListener('abort', revoke, { once: true });
        try {
          return await fn(lease);
        } finally {
          signal?.removeEventListener('abort', revoke);
        }
      });
    });
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    const writes = parseScript(sql).some(({ readonly }) => !readonly);
    await this.#use(writes, options, (db, limits) => db.script(sql, limits));
  }

  override async transaction<T>(fn: (tx: Queryable) => T | Promise<T>, options: TransactionOptions = {}): Promise<T> {
    return await this.#use(options.mode !== 'deferred', options, (db, limits) => db.transaction(fn, { ...options, ...limits }));
  }

  protected override perform({ statement, values, ...options }: Call): Promise<Result> {
    return this.#use(!statement.readonly, options, (db, limits) => db.execute(statement.sql, values, { ...options, ...limits }));
  }

  protected override async *step({ statement, values, ...options }: Call): AsyncGenerator<Row, void, undefined> {
    const db = await this.#enter(options.signal);
    try {
      yield* db.iterate(statement.sql, values, this.#limits(options));
    } finally {
      this.#leave();
    }
  }

  async #use<T>(writes: boolean, options: QueryOptions, use: (db: Queryable, limits: QueryOptions) => Promise<T>): Promise<T> {
    checkLimits(options);
    // As on the pool: those who wait to write do not hold a connection that a reader needs.
    const leaveWriters = writes && this.#lease === undefined && this.#keepsConnection() ? await this.#pool.writerTurn(options.signal) : undefined;
    try {
      const db = await this.#enter(options.signal);
      try {
        return await use(db, this.#limits(options));
      } finally {
        this.#leave();
      }
    } finally {
      leaveWriters?.();
    }
  }

  /** The lease of this request, or the pool itself when the request keeps no connection. */
  async #enter(signal: AbortSignal | undefined): Promise<Queryable> {
    this.#controller ??= this.#firstUse();
    if (this.#state === 'revoked') throw new LeaseEndedError(REVOKED);
    this.#using += 1;
    if (this.#lease === undefined && !this.#keepsConnection()) return this.#pool;
    try {
      this.#lease ??= this.#acquire(this.#controller.signal);
      // The lease is for the whole request: a call that is cancelled gives up waiting for it, and leaves it to the others.
      return await bounded(this.#lease, limitOf(systemClock, Infinity, () => new Error(), signal));
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  #acquire(signal: AbortSignal): Promise<Lease> {
    const lease = this.#pool.acquire({ signal });
    // The next call of this request may try again.
    lease.catch(() => (this.#lease = undefined));
    return lease;
  }

  #leave(): void {
    this.#using -= 1;
    this.#letGo();
  }

  #keepsConnection(): boolean {
    return this.#state === 'handling' && this.#options.mode === 'request';
  }

  #letGo(): void {
    if (this.#state === 'handling' || this.#using > 0 || this.#lease === undefined) return;
    void this.#lease.then((lease) => lease.release()).catch(() => undefined);
    this.#lease = undefined;
  }

  #limits({ signal, timeoutMs }: QueryOptions): QueryOptions {
    const own = this.#controller?.signal;
    return { timeoutMs, signal: signal === undefined || own === undefined ? own : AbortSignal.any([signal, own]) };
  }

  #firstUse(): AbortController {
    const { response, onFirstUse } = this.#options;
    onFirstUse?.();
    // A listener that is added after the event never hears of it.
    if (response?.closed === true) this.#closed();
    else response?.once('close', () => { this.#closed(); });
    return new AbortController();
  }

  #closed(): void {
    const { response, method, graceMs } = this.#options;
    if (response?.writableFinished === true) this.respond();
    else if (this.#state === 'responded' || SAFE_METHODS.has(method)) this.revoke();
    else {
      // It may be in the middle of a change that its client asked for. It can finish, but not for ever.
      systemClock.schedule(() => {
        this.revoke();
      }, graceMs, true);
    }
  }
}

const REVOKED = 'The client has left, so the connection of this request was taken back. Use the pool for work that outlives a request.';
