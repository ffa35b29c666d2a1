import { BusyWait } from './busy-wait.ts';
import { asThrown, CallQueue, Cancelled, type CallKind } from './call-queue.ts';
import { Cursors, type Begun, type Cursor, type Lifetime } from './cursors.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { ExecuteHint, Result, Value } from '../driver.ts';
import { brokenContract, isLocked } from '../driver-errors.ts';
import { CONTROL, type CompleteConnection } from '../drivers/completed-connection.ts';
import { TransactionLostError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { operationLimit, writeLockLimit, type TimeSettings } from '../waiting/limits.ts';
import { isResult, outcomeOf, unknownBecause } from './outcome.ts';
import type { Call } from '../query/call.ts';
import { QueryOperation, type WaitingOperation } from '../diagnostics/operation.ts';
import { parse, type Statement } from '../query/sql.ts';
import type { TransactionControl } from '../query/kind.ts';
import { TransactionState } from './transaction-state.ts';
import { WriteLock } from './write-lock.ts';

/** A statement without the fields that only its callers need. */
type Runnable = Omit<Statement, 'firstRow' | 'parameters'>;

/** The properties of a statement, or of several in one call, that matter before and after it runs. */
interface Whole extends Pick<Runnable, 'sql' | 'readonly' | 'taints'> {
  readonly control: TransactionControl | 'batch';
}

/** The origin of a call. */
export interface Origin {
  /** The time at which the call began to wait for the write lock, if it did. */
  readonly since?: number | undefined;
  /** Whether no lease holds the connection. */
  readonly unleased: boolean;
}

const LEASED: Origin = { unleased: false };

const NOTHING: readonly WaitingOperation[] = [];

/** The settings that statements need. */
export interface StatementsSettings extends TimeSettings {
  readonly maxWaiting: number;
  /**
   * Whether a driver may run a statement on another handle of the database. It may not if the user prepares each
   * connection, because the statement may depend on that.
   */
  readonly sharesHandles: boolean;
}

/**
 * The statements of one connection. The caller of each method must hold the lock of the connection. A write also needs
 * the write lock. The class tracks the state of the connection's transaction.
 */
export class Statements {
  readonly connection: CompleteConnection;
  readonly calls: CallQueue;
  readonly cursors: Cursors;
  readonly transaction: TransactionState = new TransactionState();
  readonly writeLock: WriteLock;
  /** Whether the connection was changed in a way that only a close undoes. */
  tainted = false;
  /** The text of the last native call, to name it if it does not return. */
  sent = '';
  /** What the calls of the holder of the lock report, if something listens. */
  #observed: readonly WaitingOperation[] = NOTHING;
  readonly #settings: StatementsSettings;

  constructor(connection: CompleteConnection, writeLock: Semaphore, settings: StatementsSettings) {
    this.connection = connection;
    this.writeLock = new WriteLock(writeLock);
    this.#settings = settings;
    this.calls = new CallQueue(
      settings,
      () => {
        this.cursors.noteInterrupt();
        try {
          if (connection.withdraw?.() !== true) connection.interrupt?.();
        } catch {
          // Then there is nothing left to interrupt. The call itself reports how it ended.
        }
      },
      () => {
        this.#observed = NOTHING;
        if (!this.transaction.isOpen) this.writeLock.release();
      },
    );
    this.cursors = new Cursors(this.calls, () => operationLimit(settings, 'close of a cursor'));
  }

  /** What the running call reports, if something listens. */
  get observed(): QueryOperation | undefined {
    return this.#observed.find((one) => one instanceof QueryOperation);
  }

  /** The holder of the lock reports to `operation` until it releases the lock. */
  observe(operation: WaitingOperation): void {
    this.#observed = [operation];
    operation.connected(this.transaction.isOpen);
  }

  /** The same for the calls of a group, which know themselves when they have a connection. */
  observeGroup(calls: readonly Call[]): void {
    const observed = calls.some(({ operation }) => operation !== undefined);
    this.#observed = observed ? calls.flatMap(({ operation }) => operation ?? []) : NOTHING;
  }

  /** Runs a statement that begins or ends a transaction. */
  async control(sql: string, limit: Limit | undefined, since?: number): Promise<void> {
    await this.execute(parse(sql), [], CONTROL, limit, undefined, since);
  }

  /**
   * Commits. The limit holds until the COMMIT begins, and between two tries: a COMMIT that is cancelled half-way may be
   * done.
   */
  async commit(limit: Limit | undefined): Promise<void> {
    await this.cursors.closeAll('transaction');
    await this.execute(parse('COMMIT'), [], CONTROL, limit, () => operationLimit(this.#settings, 'COMMIT'));
  }

  /** Runs a caller's statement. */
  perform(call: Call, limit: Limit | undefined, { since, unleased }: Origin = LEASED): Promise<Result> {
    return this.execute(call.statement, call.values, this.hintOf(call, unleased), limit, undefined, since);
  }

  /**
   * Makes one call that runs several statements, and tries again while another process holds the lock.
   *
   * @param since - The time at which the call began to wait for the write lock, if it did.
   */
  async callBatch<T>(
    whole: Omit<Whole, 'control'>,
    start: () => Promise<T>,
    limit: Limit | undefined,
    since?: number,
  ): Promise<T> {
    const batch: Whole = { ...whole, control: 'batch' };
    await this.prepare(batch, limit);
    const waitsSince = since ?? this.#settings.clock.now();
    try {
      return await this.#untilUnlocked(batch, start, limit, undefined, 'statement', waitsSince);
    } catch (error) {
      // SQLite may have rolled back an outer transaction, and the batch's own one has ended. The next call must know the
      // state.
      if (!(error instanceof Cancelled)) await this.resolveState().catch(() => undefined);
      throw error;
    }
  }

  /** The hint for a caller's statement. `unleased`: no lease needs the statement to run on this connection. */
  hintOf({ statement, rowMode = 'object', urgency }: Call, unleased: boolean): ExecuteHint {
    const { control, readonly, returnsRows, effect, taints } = statement;
    const user = readonly && !this.writeLock.isHeld ? 'reader' : 'writer';
    return {
      rowMode,
      readonly,
      returnsRows,
      effect,
      urgency: urgency ?? (control === 'none' ? user : 'control'),
      unleased: unleased && !taints && this.#hasNoState && this.#settings.sharesHandles,
    };
  }

  /** Whether the next statement would be the same on another handle. */
  get #hasNoState(): boolean {
    return !this.transaction.isOpen && !this.tainted && this.cursors.size === 0;
  }

  /**
   * Runs a statement. Not an async function: that would cost two more promises per statement.
   *
   * @param callLimit - The limit of each native call, if it differs from `limit`.
   */
  execute(
    statement: Runnable,
    values: readonly Value[],
    hint: ExecuteHint,
    limit: Limit | undefined,
    callLimit?: () => Limit,
    since?: number,
  ): Promise<Result> {
    const { sql, control } = statement;
    const start = (): Promise<Result> => this.connection.execute(sql, values, hint);
    const kind = hint === CONTROL ? 'operation' : 'statement';
    if (control !== 'rollback' && this.#isReady(statement))
      return this.#untilUnlocked(statement, start, limit, callLimit, kind, since);
    return this.#executePrepared(statement, start, limit, callLimit, kind, since);
  }

  async #executePrepared(
    statement: Runnable,
    start: () => Promise<Result>,
    limit: Limit | undefined,
    callLimit: (() => Limit) | undefined,
    kind: CallKind,
    since: number = this.#settings.clock.now(),
  ): Promise<Result> {
    if (statement.control === 'rollback') {
      await this.resolveState();
      if (this.transaction.isLost) return this.#forgetLost();
    }
    await this.prepare(statement, limit);
    return await this.#untilUnlocked(statement, start, limit, callLimit, kind, since);
  }

  /** Makes a call, and tries again while another process holds the lock. */
  async #untilUnlocked<T>(
    whole: Whole,
    start: () => Promise<T>,
    limit: Limit | undefined,
    callLimit: (() => Limit) | undefined,
    kind: CallKind,
    since: number | undefined,
  ): Promise<T> {
    const { control, sql } = whole;
    this.sent = sql;
    for (let wait: BusyWait | undefined; ;) {
      const commits = this.#commits(whole);
      try {
        let result: unknown;
        try {
          result = await this.calls.call(start, callLimit === undefined ? limit : callLimit(), kind);
        } catch (error) {
          if (!commits) throw error;
          result = await outcomeOf(error, this.#settings.clock);
        }
        if (control !== 'batch' && !isResult(result))
          throw commits ? unknownBecause(brokenContract()) : new Cancelled(brokenContract());
        this.transaction.succeeded(control);
        if (this.transaction.isUncertain) await this.confirm(commits);
        return result as T;
      } catch (error) {
        wait ??= this.#busyWait(error, control, since, limit);
        this.transaction.failed(control, error instanceof Cancelled, error);
        if (wait === undefined) throw error;
        await this.#waitAgain(wait, error, control);
      }
    }
  }

  /**
   * Opens a cursor and takes its first step. The caller must hold the lock. The first step is where a cursor meets a
   * lock. Then this tries again, as for any other statement. Each try opens a new cursor, because one that has failed
   * has ended.
   */
  async begin(
    statement: Runnable,
    open: () => Cursor,
    limit: Limit | undefined,
    lifetime: Lifetime,
  ): Promise<Begun> {
    const since = this.#settings.clock.now();
    await this.prepare(statement, limit);
    this.sent = statement.sql;
    for (let wait: BusyWait | undefined; ;) {
      this.calls.throwIfCancelled();
      const cursor = open();
      const others = this.cursors.size;
      this.cursors.add(cursor, this.transaction.isOpen ? lifetime : 'lease');
      try {
        const first = await this.calls.call(() => cursor.next(), limit);
        this.transaction.touched();
        return { cursor, first };
      } catch (error) {
        wait ??= this.#busyWait(error, 'none', since, limit, others);
        this.transaction.failed('none', error instanceof Cancelled, error);
        // A cancelled call may not have returned, and no caller waits for that.
        if (wait === undefined || error instanceof Cancelled) {
          this.close(cursor);
          throw error;
        }
        await this.cursors.end(cursor);
        await this.#waitAgain(wait, error, 'none');
      }
    }
  }

  /** Closes a cursor in the background. The next call on its connection waits for the lock anyway. */
  close(cursor: Cursor): void {
    this.cursors.close(cursor).catch(() => {
      this.tainted = true;
    });
  }

  /** Prepares a statement: checks that the transaction still exists, and acquires the write lock if needed. */
  async prepare(statement: Whole, limit: Limit | undefined): Promise<void> {
    await this.cursors.endInterrupted();
    await this.resolveState();
    this.transaction.check();
    if (statement.taints) this.tainted = true;
    if (statement.readonly || this.writeLock.tryAcquire()) return;
    for (const operation of this.#observed) operation.waitsForLock();
    await this.writeLock.acquire(writeLockLimit(this.#settings, limit, this.calls.cancelToken));
    for (const operation of this.#observed) operation.endsLockWait('running');
  }

  /** Waits for a lock of another process. If SQLite has rolled back by itself, the next try would commit alone. */
  async #waitAgain(wait: BusyWait, error: unknown, control: Whole['control']): Promise<void> {
    for (const operation of this.#observed) operation.meetsLock();
    await wait.pause(error);
    for (const operation of this.#observed) operation.endsLockWait('running');
    await this.resolveState();
    if (control !== 'begin' && control !== 'rollback') this.transaction.check();
  }

  /** Asks SQLite for the state of the transaction, if only SQLite knows it. */
  async resolveState(): Promise<void> {
    if (!this.transaction.isUncertain) return;
    await this.cursors.endInterrupted();
    try {
      if (this.connection.broken === true) throw new TransactionLostError(undefined);
      const limit = operationLimit(this.#settings, 'check');
      const isOpen = async (): Promise<boolean> => await this.connection.inTransaction();
      this.transaction.found(await this.calls.call(isOpen, limit, 'operation'));
    } catch (error) {
      this.calls.shut(() => new TransactionLostError(asThrown(error)));
      throw error;
    }
  }

  /**
   * The same after a call that may have committed. If the answer fails, the outcome is unknown, because the call may be
   * done.
   */
  async confirm(commits: boolean): Promise<void> {
    try {
      await this.resolveState();
    } catch (error) {
      throw commits ? unknownBecause(asThrown(error)) : error;
    }
  }

  /** Rolls back the open transaction, if there is one. */
  async rollback(): Promise<void> {
    if (this.transaction.isOpen && !this.transaction.isLost) {
      await this.cursors.endInterrupted();
      await this.calls.call(
        () => this.connection.rollback(),
        operationLimit(this.#settings, 'rollback'),
        'operation',
      );
    }
    this.transaction.ended();
  }

  /** Whether the statement commits when it succeeds. */
  #commits({ control, readonly }: Whole): boolean {
    if (control === 'batch') return !readonly;
    const { isOpen, endsByRelease } = this.transaction;
    if (control === 'none') return !readonly && !isOpen;
    return this.writeLock.isHeld && (control === 'commit' || (control === 'release' && endsByRelease));
  }

  /** Whether the statement needs no preparation. Acquires the write lock if it is needed and free. */
  #isReady({ readonly, taints }: Runnable): boolean {
    const { transaction } = this;
    if (taints || this.cursors.areInterrupted || transaction.isUncertain || transaction.isLost) return false;
    return readonly || this.writeLock.tryAcquire();
  }

  /**
   * How to wait and try again after a statement met a lock; `undefined` if it must not be tried again.
   *
   * With nothing open, SQLITE_BUSY means that the statement has done nothing. The error comes from the lock at its
   * beginning, or from its own commit, which SQLite then rolls back (`sqlite3VdbeHalt`). The same is true of the first
   * statement of a transaction. A COMMIT that meets a reader leaves its transaction open, and may be tried again:
   * https://www.sqlite.org/lang_transaction.html. Any later statement, or one beside a cursor, itself holds a lock or a
   * snapshot. The other process may be waiting for exactly that, so a wait could be a deadlock.
   */
  #busyWait(
    error: unknown,
    control: Whole['control'],
    since: number | undefined,
    limit: Limit | undefined,
    cursors = this.cursors.size,
  ): BusyWait | undefined {
    if (!isLocked(error)) return undefined;
    const commits = control === 'commit' || control === 'release';
    if (!commits && (cursors > 0 || !this.transaction.isUntouched)) return undefined;
    const { clock, acquireTimeoutMs } = this.#settings;
    const cancelled = this.calls.cancelToken;
    return new BusyWait({ clock, deadline: (since ?? clock.now()) + acquireTimeoutMs, limit, cancelled });
  }

  /**
   * An undo has failed. All later calls are refused: their statements would be part of a transaction that is lost with
   * the connection. A transaction that SQLite has rolled back has already removed its savepoints.
   */
  undoFailed(error: unknown): void {
    if (!(error instanceof TransactionLostError))
      this.calls.shut(() => new TransactionLostError(asThrown(error)));
  }

  /** A lost transaction is already rolled back. */
  #forgetLost(): Result {
    this.transaction.ended();
    return { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
  }
}
