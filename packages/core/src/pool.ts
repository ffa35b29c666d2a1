import {
  checkpointCall,
  checkpointFailure,
  checkpointResult,
  type CheckpointOptions,
  type CheckpointResult,
} from './database/checkpoint.ts';
import { Database } from './database/database.ts';
import { bounded, limitOf, outsideCalls, type Cancellation, type Clock } from './waiting/deadline.ts';
import type { Result, Row } from './driver.ts';
import type { Entry } from './engine/entries.ts';
import { InvalidArgumentError, PoolClosedError } from './errors.ts';
import { Gate } from './waiting/gate.ts';
import { GroupCommit } from './writing/group-commit.ts';
import type { AcquireOptions, Lease } from './leasing/lease.ts';
import { Housekeeping } from './database/housekeeping.ts';
import { Leases, lent, type Spares } from './leasing/leases.ts';
import { Lending } from './leasing/lending.ts';
import { checkOptions, type PoolOptions, type Settings } from './options.ts';
import {
  checkLimits,
  QueryMethods,
  stepOn,
  type Call,
  type Queryable,
  type QueryOptions,
  type TransactionOptions,
} from './query/queryable.ts';
import { ResourcePool } from './engine/resource-pool.ts';
import type { Session, SessionContext } from './connection/session.ts';
import { scriptWrites } from './query/sql.ts';
import type { PoolStats } from './diagnostics/stats.ts';
import { checkTransaction } from './connection/transaction.ts';
import { WalCare } from './database/wal-care.ts';

/** The writers of one pool that hold a connection at a time: one that writes, and one that is ready to. */
const WRITERS_WITH_CONNECTION = 2;

const NO_OPTIONS: AcquireOptions = {};

/** How long a request may keep a connection between two of its statements while the pool closes, in milliseconds. */
const SPARE_GRACE_MS = 1000;

/** How long a call that was interrupted may take to return before `close()` gives its connection up. */
const INTERRUPT_GRACE_MS = 50;

/**
 * A pool of connections to one SQLite database.
 *
 * The query methods lease a connection for one statement each; {@link SqlitePool.connection},
 * {@link SqlitePool.acquire} and {@link SqlitePool.transaction} lease one for longer. Writes take turns, across every
 * pool of this process on the same file, so that none meets `SQLITE_BUSY` within the process.
 *
 * The idea of the pool, its options and their names come from Python's aiosqlitepool.
 *
 * @example
 * await using pool = createPool({ filename: 'app.db' });
 * const user = await pool.get('SELECT * FROM users WHERE id = ?', [1]);
 */
export class SqlitePool extends QueryMethods implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #engine: ResourcePool<Session>;
  readonly #context: SessionContext;
  /**
   * Writers pass here before they take a connection, so that those who wait to write do not hold what readers need.
   * Connection first, write gate second: whoever has the gate needs nothing else, so no two can wait for each other.
   */
  readonly #writers: Gate;
  readonly #leases: Leases;
  readonly #database: Database;
  readonly #lending: Lending;
  readonly #groups: GroupCommit;
  readonly #walCare: WalCare;
  readonly #housekeeping: Housekeeping;
  /** Aborts when the pool is told to close. */
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(options: PoolOptions) {
    super();
    const settings = checkOptions(options);
    this.#settings = settings;
    this.#leases = new Leases(settings, (entry, ending) => this.#lending.giveBack(entry, ending));
    this.#database = new Database(settings, () => {
      this.#engine.evict('replaced');
    });
    this.#context = {
      ...settings,
      keepDirty: settings.driver.inMemory === true,
      sharesHandles: settings.onConnect === undefined,
      writeTimeoutError: () => this.#lending.timeoutError(settings.acquisitionTimeoutMs, 'write'),
    };
    this.#writers = new Gate(
      Math.max(1, Math.min(WRITERS_WITH_CONNECTION, settings.poolSize - 1)),
      settings.maxWaiting,
    );
    this.#engine = new ResourcePool(settings, {
      open: (signal) => {
        this.#housekeeping.start();
        return this.#database.open(this.#context, signal);
      },
      validate: async (session) => {
        await this.#database.check();
        await session.validate();
      },
      drain: (session) => session.drain(),
      close: (session, last) => session.close(last),
      abandon: (session) => {
        session.abandon();
      },
    });
    this.#lending = new Lending(settings, this.#engine, this.#leases);
    this.#groups = new GroupCommit({ ...settings, ...this.#context }, this.#lending, this.#writers);
    const untilClosed = { ...settings, closed: this.#closed.signal };
    this.#walCare = new WalCare(untilClosed, this.#database, this.#lending, this.#leases);
    this.#housekeeping = new Housekeeping(settings, {
      sweep: () => {
        this.#engine.sweep();
        this.#leases.sweep();
      },
      checkFile: () => this.#database.check(),
      careForWal: () => this.#walCare.look(),
      onFileGone: () => {
        this.#engine.evict('replaced');
      },
    });
  }

  /**
   * Whether {@link SqlitePool.close} was called.
   *
   * @example if (!pool.closed) await pool.run('DELETE FROM sessions');
   */
  get closed(): boolean {
    return this.#closed.signal.aborted;
  }

  /**
   * Resolves when a first connection is open, and then begins to open what `minIdle` asks for: call it at startup, so that
   * a database that cannot be opened fails the boot and not the first request.
   *
   * Rejects with `OpenError`, `DriverMissingError` or `DriverConflictError`; with `OperationTimeoutError` or
   * `AcquireTimeoutError` if that takes too long; with `PoolOverloadedError` or `PoolClosedError`.
   *
   * @example
   * const pool = createPool({ filename: 'app.db' });
   * await pool.open();
   */
  async open(): Promise<this> {
    const entry = this.#lending.tryTake() ?? (await this.#lending.take({}));
    this.#engine.release(entry);
    this.#engine.sweep();
    return this;
  }

  /**
   * Leases a connection until you release it.
   *
   * Rejects with `InvalidArgumentError`, `AcquireTimeoutError`, `PoolOverloadedError`, `PoolClosedError`, what
   * {@link SqlitePool.open} rejects with if a connection cannot be opened, or the reason of `signal`.
   *
   * @example
   * await using connection = await pool.acquire({ timeoutMs: 1000 });
   * await connection.run('INSERT INTO log (line) VALUES (?)', ['hello']);
   */
  async acquire(options: AcquireOptions = NO_OPTIONS): Promise<Lease> {
    const caller = this.#leases.caller();
    if (options !== NO_OPTIONS) checkLimits(options);
    const free = options.signal?.aborted === true ? undefined : this.#lending.tryTake();
    return this.#leases.lend(free ?? (await this.#lending.take(options)), caller);
  }

  /** A lease after `turn`; at once if a connection is idle and good, otherwise a wait that `cancellation` may cut. @internal */
  lend(cancellation: Cancellation, turn?: Promise<unknown>): Lease | Promise<Lease> {
    const caller = this.#leases.caller();
    const take = () => this.#lending.tryTake() ?? this.#lending.take({ signal: cancellation });
    const taken = turn === undefined ? take() : turn.then(take);
    const lend = (entry: Entry<Session>): Lease => this.#leases.lend(entry, caller);
    return taken instanceof Promise ? taken.then(lend) : lend(taken);
  }

  /**
   * Lends a connection to `fn` and takes it back when it settles. Rejects as {@link SqlitePool.acquire} does, or with
   * whatever `fn` rejects with.
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
    return await lent(await this.acquire(options), fn);
  }

  override async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkLimits(options);
    const writes = scriptWrites(sql);
    await this.#borrow(writes, options.signal, (session) => session.script(sql, options));
  }

  override async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    checkTransaction(fn, options);
    const caller = this.#leases.caller();
    const { mode, signal } = options;
    const leaveWriters = mode === 'deferred' ? undefined : await this.writerTurn(signal);
    try {
      const entry = this.#lending.tryTake() ?? (await this.#lending.take({ signal }));
      const lease = this.#leases.lend(entry, caller);
      return await lent(lease, () => lease.transaction(fn, options));
    } finally {
      leaveWriters?.();
    }
  }

  /**
   * Retires every connection as it comes free, so that new ones are opened: after the database file was restored, for
   * example. An in-memory database keeps its connection, because it would be lost with it.
   *
   * @example pool.evict();
   */
  evict(): void {
    if (this.#settings.driver.inMemory !== true) this.#engine.evict();
  }

  /**
   * Writes the WAL back into the database file, off the event loop, as far as `mode` says; the pool does so by itself when the
   * WAL gets larger than `walLimitBytes`. All modes but `passive` wait for their turn to write.
   *
   * Rejects as {@link SqlitePool.acquire} does, with `StatementTimeoutError` at `timeoutMs`, or with the reason of `signal`.
   *
   * @param options - `mode` (default `passive`), `timeoutMs` and `signal`.
   * @example const { busy } = await pool.checkpoint({ mode: 'truncate' });
   */
  async checkpoint(options: CheckpointOptions = {}): Promise<CheckpointResult> {
    const call = checkpointCall(options);
    const writes = !call.statement.readonly;
    const done = this.#borrow(writes, call.signal, (session) => session.perform(call, true));
    return checkpointResult(await done.catch(checkpointFailure));
  }

  /**
   * A snapshot of what the pool has and what it has done.
   *
   * @example const { leased, waiting, wait } = pool.stats();
   */
  stats(): PoolStats {
    const engine = this.#engine;
    const { opening, idle, validating, leased, closing, quarantined } = engine.counts;
    const wait = engine.waits.snapshot();
    return {
      driver: this.#settings.driver.name,
      size: engine.size,
      idle,
      leased,
      opening,
      validating,
      closing,
      quarantined,
      waiting: engine.waiting,
      writerHeld: this.#database.writeGate.held > 0,
      writersWaiting: this.#writers.waiting + this.#database.writeGate.waiting + this.#groups.joined,
      acquires: wait.count,
      acquireTimeouts: this.#lending.timeouts,
      opens: engine.opens,
      openFailures: engine.openFailures,
      evictions: { ...engine.evictions },
      leaks: this.#leases.leaks,
      walBytes: this.#walCare.bytes,
      wait,
    };
  }

  /**
   * Closes the pool: refuses newcomers and rejects waiters with `PoolClosedError`, waits up to `closeTimeoutMs` for
   * leases to come back, then interrupts and revokes them, and closes every connection, which also checkpoints the WAL.
   * Never rejects; every call returns the same promise.
   *
   * @example process.once('SIGTERM', () => void pool.close());
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  /** The same as {@link SqlitePool.close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Where the pool has its time from. @internal */
  get clock(): Clock {
    return this.#settings.clock;
  }

  /** For those who keep a connection between two uses. @internal */
  get spares(): Spares {
    return this.#lending.spares;
  }

  /**
   * A turn among those who want to write, for a lease that is about to be taken for a write; the function returned
   * ends it. @internal
   */
  writerTurn(signal?: AbortSignal): Promise<() => void> {
    return this.#groups.turn(signal);
  }

  protected override perform(call: Call): Promise<Result> {
    const { control, readonly } = call.statement;
    if (control !== 'none') {
      throw new InvalidArgumentError(
        'The pool leases a connection per statement, so a transaction would end before its next statement. Use pool.transaction().',
      );
    }
    if (readonly) return this.#performOnLoan(call);
    if (!this.#groups.takes(call))
      return this.#borrow(true, call.signal, (session) => session.perform(call, true));
    if (this.#groups.isBusy || this.#database.writeGate.held > 0) return this.#groups.run(call);
    return this.#writeAlone(call);
  }

  async #performOnLoan(call: Call): Promise<Result> {
    const entry = this.#lending.tryTake() ?? (await this.#lending.take({ signal: call.signal }));
    try {
      return await entry.resource.perform(call, true);
    } finally {
      void this.#lending.giveBack(entry);
    }
  }

  async #writeAlone(call: Call): Promise<Result> {
    await this.#groups.enter(call.signal);
    try {
      return await this.#performOnLoan(call);
    } finally {
      this.#writers.leave();
    }
  }

  protected override performAll(calls: readonly Call[], options: QueryOptions): Promise<Result[]> {
    const writes = calls.some(({ statement }) => !statement.readonly);
    return this.#borrow(writes, options.signal, (session) => session.batch(calls, options, true));
  }

  protected override async *step(call: Call): AsyncGenerator<Row, void, undefined> {
    const lease = await this.acquire({ signal: call.signal });
    try {
      yield* stepOn(lease, call);
    } finally {
      await lease.release();
    }
  }

  /** Lends a connection to `use`, which takes a turn among the writers first if it writes. */
  async #borrow<T>(
    writes: boolean,
    signal: AbortSignal | undefined,
    use: (session: Session) => Promise<T>,
  ): Promise<T> {
    const leaveWriters = writes ? await this.writerTurn(signal) : undefined;
    try {
      const entry = this.#lending.tryTake() ?? (await this.#lending.take({ signal }));
      try {
        return await use(entry.resource);
      } finally {
        void this.#lending.giveBack(entry);
      }
    } finally {
      leaveWriters?.();
    }
  }

  async #close(): Promise<void> {
    const { clock, closeTimeoutMs } = this.#settings;
    const reason = (): PoolClosedError => new PoolClosedError();
    this.#housekeeping.stop();
    this.#closed.abort(reason());
    this.#writers.failAll(reason);
    this.#groups.close(reason);
    const closed = this.#engine.close();
    const inTime = async (ms: number): Promise<boolean> => {
      const waited = await Promise.allSettled([bounded(closed, limitOf(clock, ms, reason))]);
      return waited[0].status === 'fulfilled';
    };
    const spareMs = Math.min(SPARE_GRACE_MS, closeTimeoutMs);
    if (!(await inTime(spareMs))) this.spares.close();
    if (!(await inTime(closeTimeoutMs - spareMs))) {
      this.#leases.revokeAll(reason);
      for (const session of this.#engine.leased()) session.end(reason);
      if (!(await inTime(INTERRUPT_GRACE_MS))) this.#engine.giveUp();
      await closed;
    }
    this.#database.leave();
  }
}

/**
 * Makes a pool. Nothing is opened yet: the first use does that, or {@link SqlitePool.open}.
 *
 * Throws `InvalidArgumentError` for an option that cannot work.
 *
 * @param options - See {@link PoolOptions}; exactly one of `filename`, `driver` and `connectionFactory` is required.
 * @example const pool = createPool({ filename: 'app.db' });
 */
export function createPool(options: PoolOptions): SqlitePool {
  return outsideCalls(() => new SqlitePool(options));
}
