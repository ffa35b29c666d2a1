import {
  checkpointCall,
  checkpointFailure,
  checkpointResult,
  reportCheckpoint,
  type CheckpointOptions,
  type CheckpointResult,
} from './database/checkpoint.ts';
import type { RequestOrigin } from './diagnostics/events.ts';
import type { Observer } from './diagnostics/observer.ts';
import type { TransactionOperation } from './diagnostics/operation.ts';
import { outsideCalls, type CancelToken } from './waiting/deadline.ts';
import type { Result, Row } from './driver.ts';
import type { Entry } from './engine/entries.ts';
import { InvalidArgumentError, UnsupportedError } from './errors.ts';
import type { AcquireOptions, Lease } from './leasing/lease.ts';
import { withLease, type IdleLeases } from './leasing/lease-registry.ts';
import { boundsOf, type Bounds, type Waits } from './leasing/connection-pool.ts';
import { checkOptions, type PoolOptions } from './options.ts';
import { checkCallOptions, type Call, type CallOptions, type Script } from './query/call.ts';
import { QueryMethods } from './query/query-methods.ts';
import type { Queryable, TransactionOptions } from './query/queryable.ts';
import type { Session } from './connection/session.ts';
import { checkHealth, type HealthOptions, type PoolHealth } from './database/health.ts';
import type { PoolInspection } from './diagnostics/inspection.ts';
import { PoolParts } from './pool/parts.ts';
import { explainCall, planOf, type PlanStep } from './query/explain.ts';
import { inspectPool } from './leasing/inspect.ts';
import type { PoolStats } from './diagnostics/stats.ts';
import { transactionFromCall } from './connection/transaction.ts';

const NO_OPTIONS: AcquireOptions = {};

/**
 * A pool of connections to one SQLite database.
 *
 * Each query method acquires a connection for one statement. {@link SqlitePool.connection}, {@link SqlitePool.acquire}
 * and {@link SqlitePool.transaction} lease one for longer. Only one write at a time runs on a file, across all pools of
 * this process, so that no write meets `SQLITE_BUSY` within the process.
 *
 * The idea of the pool, its options and their names come from Python's aiosqlitepool.
 *
 * @example
 * await using pool = createPool({ filename: 'app.db' });
 * const user = await pool.get('SELECT * FROM users WHERE id = ?', [1]);
 */
export class SqlitePool extends QueryMethods implements AsyncDisposable {
  /** Hears of everything that the pool does. @internal */
  readonly observer: Observer;
  readonly #parts: PoolParts;
  #closing: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    super();
    this.#parts = new PoolParts(this, checkOptions(options));
    this.observer = this.#parts.observer;
  }

  /**
   * Whether {@link SqlitePool.close} was called.
   *
   * @example if (!pool.closed) await pool.run('DELETE FROM sessions');
   */
  get closed(): boolean {
    return this.#parts.closed;
  }

  /**
   * Resolves when the first connection is open, and then begins to open connections up to `minIdle`. Call it at
   * startup, so that a database that cannot be opened fails the startup and not the first request.
   *
   * Rejects with `OpenError`, `DriverMissingError` or `DriverConflictError`; with `OperationTimeoutError` or
   * `AcquireTimeoutError` if the open takes too long; with `PoolOverloadedError` or `PoolClosedError`.
   *
   * @example
   * const pool = createPool({ filename: 'app.db' });
   * await pool.open();
   */
  async open(): Promise<this> {
    const entry = await this.#parts.connections.acquire({});
    this.#parts.engine.release(entry);
    this.#parts.engine.sweep();
    return this;
  }

  /**
   * Leases a connection until you release it.
   *
   * Rejects with `InvalidArgumentError`, `AcquireTimeoutError`, `PoolOverloadedError`, `PoolClosedError`, or the reason
   * of `signal`. If a connection cannot be opened, rejects as {@link SqlitePool.open} does.
   *
   * @example
   * await using connection = await pool.acquire({ timeoutMs: 1000 });
   * await connection.run('INSERT INTO log (line) VALUES (?)', ['hello']);
   */
  async acquire(options: AcquireOptions = NO_OPTIONS): Promise<Lease> {
    const caller = this.#parts.registry.caller();
    if (options !== NO_OPTIONS) checkCallOptions(options);
    return this.#lease(options, caller);
  }

  /**
   * Returns a lease at once if a good connection is idle. Otherwise waits for a connection, after `ready`. `signal`
   * cancels that wait. @internal
   */
  createLease(
    signal: CancelToken,
    ready?: Promise<unknown>,
    request?: RequestOrigin,
  ): Lease | Promise<Lease> {
    const caller = this.#parts.registry.caller();
    const lease = (): Lease | Promise<Lease> => this.#lease({ signal, request }, caller);
    return ready === undefined ? lease() : ready.then(lease);
  }

  #lease(bounds: Bounds, caller: string | undefined): Lease | Promise<Lease> {
    const acquired = this.#parts.connections.acquire(bounds);
    const create = (entry: Entry<Session>): Lease =>
      this.#parts.registry.createLease(entry, caller, bounds.request);
    return acquired instanceof Promise ? acquired.then(create) : create(acquired);
  }

  /**
   * Runs `fn` with a leased connection and releases it when `fn` settles. Rejects as {@link SqlitePool.acquire} does,
   * or with the same value as `fn`.
   *
   * @example
   * const name = await pool.connection(async (connection) => {
   *   const user = await connection.get<{ name: string }>('SELECT name FROM users WHERE id = ?', [1]);
   *   return user?.name;
   * });
   */
  async connection<T>(fn: (connection: Lease) => T | Promise<T>, options?: AcquireOptions): Promise<T> {
    if (typeof fn !== 'function')
      throw new InvalidArgumentError(
        'connection() takes a function: connection(async (connection) => { … }).',
      );
    return await withLease(await this.acquire(options), (lease) => lease.hold(fn));
  }

  /** @internal */
  override performScript(script: Script, options: CallOptions): Promise<void> {
    const writes = script.statements.some(({ readonly }) => !readonly);
    return this.#withSession(writes, options, (session) => session.script(script, options));
  }

  override transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    const caller = this.#parts.registry.caller();
    return transactionFromCall(this.observer, fn, options, (operation) =>
      this.transact(fn, options, operation, caller),
    );
  }

  /** A checked transaction whose waits `operation` counts. @internal */
  async transact<T>(
    fn: (tx: QueryMethods) => T | Promise<T>,
    options: TransactionOptions,
    operation: TransactionOperation | undefined,
    caller: string | undefined = this.#parts.registry.caller(),
  ): Promise<T> {
    const waits = { signal: options.signal, operation };
    const releaseWriter = options.mode === 'deferred' ? undefined : await this.acquireWriter(waits);
    try {
      const leased = this.#lease(boundsOf(waits), caller);
      const lease = leased instanceof Promise ? await leased : leased;
      return await withLease(lease, () => lease.transact(fn, options, operation));
    } finally {
      releaseWriter?.();
    }
  }

  /**
   * Retires every connection when it is released, so that the pool opens new ones: for example, after the database file
   * was restored. An in-memory database keeps its connection, because the database would be lost with it.
   *
   * @example pool.evict();
   */
  evict(): void {
    if (this.#parts.settings.driver.inMemory !== true) this.#parts.engine.evict();
  }

  /**
   * Writes the WAL back into the database file, outside the event loop, as far as `mode` says. The pool also does so by
   * itself when the WAL gets larger than `walLimitBytes`. All modes but `passive` wait for the write lock.
   *
   * Rejects as {@link SqlitePool.acquire} does, with `StatementTimeoutError` at `timeoutMs`, or with the reason of
   * `signal`; with
   * `UnsupportedError` where a server has the file.
   *
   * @param options - `mode` (default `passive`), `timeoutMs` and `signal`.
   * @example const { busy } = await pool.checkpoint({ mode: 'truncate' });
   */
  async checkpoint(options: CheckpointOptions = {}): Promise<CheckpointResult> {
    const call = checkpointCall(options);
    if (this.#parts.settings.driver.locks === 'server')
      throw new UnsupportedError('The server of the database looks after its WAL itself.');
    const writes = !call.statement.readonly;
    return await reportCheckpoint(
      this.observer,
      options.mode ?? 'passive',
      this.#parts.walMonitor.bytes,
      async () => {
        const done = this.#withSession(writes, call, (session) => session.perform(call, true));
        return checkpointResult(await done.catch(checkpointFailure));
      },
    );
  }

  /**
   * A snapshot of the connections of the pool and of its counters.
   *
   * @example const { leased, waiting, wait } = pool.stats();
   */
  stats(): PoolStats {
    return this.#parts.stats();
  }

  /**
   * What each connection of the pool does now: who holds it, what runs on it, what it keeps. For a page or a log: it
   * has no row and no bound value. Statements and ages are known as far as something listened to the channels when
   * they began (docs/sight.md).
   *
   * @example console.table(pool.inspect().connections);
   */
  inspect(): PoolInspection {
    const { observer, settings, engine, registry } = this.#parts;
    return inspectPool(observer, settings, this.stats(), engine.resources(), registry.bySession());
  }

  /**
   * Asks SQLite how it would run a statement, and does not run it. All its parameters are NULL, which can change the
   * plan: https://www.sqlite.org/eqp.html
   *
   * Rejects with `InvalidArgumentError` for anything but one statement that reads or changes rows; else as
   * {@link SqlitePool.all} does.
   *
   * @example console.table(await pool.explain('SELECT * FROM users WHERE name = ?'));
   */
  async explain(sql: string): Promise<PlanStep[]> {
    return planOf(await this.perform(explainCall(sql)));
  }

  /**
   * Checks whether the database answers: a read, whether the file is still there, and with `write` whether the write
   * lock can be acquired. For the health check of a server: docs/sight.md has recipes.
   *
   * Rejects with `UnhealthyError`, a 503, if one of them fails or takes longer than `timeoutMs`; with
   * `InvalidArgumentError` for a wrong option.
   *
   * @param options - `write` (default `false`) and `timeoutMs` (default 1000).
   * @example app.get('/health', () => pool.health({ write: true }));
   */
  async health(options: HealthOptions = {}): Promise<PoolHealth> {
    const checks = {
      clock: this.observer.clock,
      pool: this.observer.source.poolName,
      read: (signal: AbortSignal) => this.get('SELECT count(*) FROM sqlite_schema', [], { signal }),
      file: () => this.#parts.database.check(),
      write: (signal: AbortSignal) => this.transaction(() => undefined, { signal }),
    };
    return await checkHealth(checks, options);
  }

  /**
   * Closes the pool. Refuses new callers and rejects waiters with `PoolClosedError`. Waits up to `closeTimeoutMs`
   * milliseconds for the release of the leases, then interrupts and revokes them. Closes every connection, which also
   * checkpoints the WAL. Never rejects; every call returns the same promise.
   *
   * @example process.once('SIGTERM', () => void pool.close());
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#parts.close());
  }

  /** The same as {@link SqlitePool.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The holders of idle leases, which keep a connection between two uses. @internal */
  get idleLeases(): IdleLeases {
    return this.#parts.connections.idleLeases;
  }

  /**
   * Acquires a writer's permit, for a caller that will then acquire a lease for a write. The returned function releases
   * the permit. @internal
   */
  acquireWriter(options: Waits): Promise<() => void> {
    return this.#parts.writers.acquire(options);
  }

  /** @internal */
  override perform(call: Call): Promise<Result> {
    const { control, readonly } = call.statement;
    if (control !== 'none') {
      throw new InvalidArgumentError(
        'The pool leases a connection per statement, so a transaction would end before its next statement. Use pool.transaction().',
      );
    }
    if (!readonly) return this.#parts.writers.run(call);
    return this.#parts.connections.use(boundsOf(call), (session) => session.perform(call, true));
  }

  /** @internal */
  override performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]> {
    const writes = calls.some(({ statement }) => !statement.readonly);
    return this.#withSession(writes, options, (session) => session.batch(calls, options, true));
  }

  /** @internal */
  override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    const acquired = this.#lease(boundsOf(call), this.#parts.registry.caller());
    const lease = acquired instanceof Promise ? await acquired : acquired;
    try {
      yield* lease.step(call);
    } finally {
      await lease.release();
    }
  }

  /** Runs `use` with a connection, and as a writer if it writes. */
  #withSession<T>(writes: boolean, options: CallOptions, use: (session: Session) => Promise<T>): Promise<T> {
    return writes
      ? this.#parts.writers.use(options, use)
      : this.#parts.connections.use(boundsOf(options), use);
  }
}

/**
 * Makes a pool. It opens no connection yet: the first use does that, or {@link SqlitePool.open}.
 *
 * Throws `InvalidArgumentError` for an option that is invalid.
 *
 * @param options - See {@link PoolOptions}; exactly one of `filename`, `driver` and `connectionFactory` is required.
 * @example const pool = createPool({ filename: 'app.db' });
 */
export function createPool(options: PoolOptions): SqlitePool {
  return outsideCalls(() => new SqlitePool(options));
}
