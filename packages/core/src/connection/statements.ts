import { BusyWait } from './busy-wait.ts';
import { asThrown, CallQueue, Cancelled, type CallKind } from './call-queue.ts';
import { Cursors, type Cursor, type Lifetime } from './cursors.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { BatchedStatement, BatchOutcome, ExecuteHint, Result, Row, Value } from '../driver.ts';
import { brokenContract, isLocked } from '../driver-errors.ts';
import type { CompleteConnection } from '../drivers/completed-connection.ts';
import { TransactionLostError } from '../errors.ts';
import type { Semaphore } from '../waiting/semaphore.ts';
import { operationLimit, writeLockLimit, type TimeSettings } from '../waiting/limits.ts';
import { outcomeOf, unknownBecause } from './outcome.ts';
import type { Call } from '../query/queryable.ts';
import { parse, type Statement, type TransactionControl } from '../query/sql.ts';
import { TransactionState } from './transaction-state.ts';
import { WriteLock } from './write-lock.ts';

/** The hint for what begins or ends a transaction. */
const CONTROL: ExecuteHint = {
  rowMode: 'object',
  readonly: true,
  returnsRows: false,
  effect: 'none',
  urgency: 'control',
};

/** The hint for a health check. */
export const CHECK: ExecuteHint = { ...CONTROL, returnsRows: true };

/** A statement without what only its callers need. */
type Runnable = Omit<Statement, 'firstRow' | 'parameters'>;

/** What matters of a statement, or of several in one call, before and after it runs. */
interface Whole extends Pick<Runnable, 'readonly' | 'taints'> {
  readonly control: TransactionControl | 'batch';
}

/** Where a call comes from. */
export interface Origin {
  /** The moment at which it has begun to wait for the write lock, if it has. */
  readonly since?: number | undefined;
  /** Whether no lease holds the connection. */
  readonly unleased: boolean;
}

const LEASED: Origin = { unleased: false };

/** A cursor that has taken its first step. */
export interface Begun {
  readonly cursor: Cursor;
  readonly first: IteratorResult<Row, unknown>;
}

/** What statements need to know of their pool. */
export interface StatementsSettings extends TimeSettings {
  readonly maxWaiting: number;
  /**
   * Whether a driver may run a statement on another handle of the database: not where the user has prepared each connection, because
   * nobody knows for what.
   */
  readonly sharesHandles: boolean;
}

/**
 * The statements of one connection: each in a turn that its caller has, a write only with the turn to write, and all of
 * them with an account of where the connection's transaction stands.
 */
export class Statements {
  readonly connection: CompleteConnection;
  readonly calls: CallQueue;
  readonly cursors: Cursors;
  readonly transaction: TransactionState = new TransactionState();
  readonly writeLock: WriteLock;
  /** Whether something was changed that only the closing of the connection undoes. */
  tainted = false;
  readonly #settings: StatementsSettings;

  constructor(connection: CompleteConnection, writeGate: Semaphore, settings: StatementsSettings) {
    this.connection = connection;
    this.writeLock = new WriteLock(writeGate);
    this.#settings = settings;
    this.calls = new CallQueue(
      settings,
      () => {
        this.cursors.noteInterrupt();
        try {
          if (connection.withdraw?.() !== true) connection.interrupt?.();
        } catch {
          // Then there is nothing left to interrupt; the call itself says how it ended.
        }
      },
      () => {
        if (!this.transaction.isOpen) this.writeLock.release();
      },
    );
    this.cursors = new Cursors(this.calls, () => operationLimit(settings, 'close of a cursor'));
  }

  /** Runs one of the statements that begin or end a transaction. */
  async control(sql: string, limit: Limit | undefined, since?: number): Promise<void> {
    await this.execute(parse(sql), [], CONTROL, limit, undefined, since);
  }

  /**
   * Commits. The limit holds until the COMMIT begins, and between two tries of it: one that was cancelled half-way could
   * have been done.
   */
  async commit(limit: Limit | undefined): Promise<void> {
    await this.cursors.closeAll('transaction');
    await this.execute(parse('COMMIT'), [], CONTROL, limit, () => operationLimit(this.#settings, 'COMMIT'));
  }

  /** Runs a user's statement. */
  perform(call: Call, limit: Limit | undefined, { since, unleased }: Origin = LEASED): Promise<Result> {
    return this.execute(call.statement, call.values, this.#hintOf(call, unleased), limit, undefined, since);
  }

  /** Runs several statements in one call, all or nothing. Rejects with the error of the one that failed. */
  async performAll(calls: readonly Call[], limit: Limit | undefined, unleased: boolean): Promise<Result[]> {
    const batched = this.#batched(calls, unleased);
    const start = async (): Promise<Result[]> => {
      const outcomes = await this.connection.batch(batched, 'abort', this.transaction.isOpen);
      if (!isOutcomes(outcomes, calls)) throw unknownBecause(brokenContract());
      const failure =
        outcomes.find(({ status }) => status === 'failed') ??
        outcomes.find(({ status }) => status === 'undone');
      if (failure !== undefined && failure.status !== 'done') throw failure.error;
      return outcomes.map((outcome) => (outcome as { readonly result: Result }).result);
    };
    return await this.#batch(calls, start, limit, undefined);
  }

  /** Runs writes in one call, each as if it were the only one, in a transaction of their own. */
  async performTogether(
    calls: readonly Call[],
    limit: Limit | undefined,
    since: number | undefined,
  ): Promise<readonly BatchOutcome[]> {
    const batched = this.#batched(calls, true);
    const start = async (): Promise<readonly BatchOutcome[]> => {
      const outcomes = await this.connection.batch(batched, 'continue', false);
      if (!isOutcomes(outcomes, calls)) throw unknownBecause(brokenContract());
      return outcomes;
    };
    return await this.#batch(calls, start, limit, since);
  }

  #batched(calls: readonly Call[], unleased: boolean): BatchedStatement[] {
    const apart = unleased && calls.every(({ statement }) => !statement.taints);
    return calls.map((call) => ({
      sql: call.statement.sql,
      params: call.values,
      hint: this.#hintOf(call, apart),
    }));
  }

  async #batch<T>(
    calls: readonly Call[],
    start: () => Promise<T>,
    limit: Limit | undefined,
    since: number | undefined,
  ): Promise<T> {
    const readonly = calls.every(({ statement }) => statement.readonly);
    const taints = calls.some(({ statement }) => statement.taints);
    const whole = { control: 'batch', readonly, taints } as const;
    await this.prepare(whole, limit);
    const waitsSince = since ?? this.#settings.clock.now();
    try {
      return await this.#untilUnlocked(whole, start, limit, undefined, 'statement', waitsSince);
    } catch (error) {
      // What was open before it may be lost, and a transaction of its own is over: the next call must know.
      if (!(error instanceof Cancelled)) await this.resolveState().catch(() => undefined);
      throw error;
    }
  }

  #hintOf({ statement, rowMode = 'object', urgency }: Call, unleased: boolean): ExecuteHint {
    const { readonly, returnsRows, effect, taints } = statement;
    return {
      rowMode,
      readonly,
      returnsRows,
      effect,
      urgency: urgency ?? this.#urgencyOf(statement),
      unleased: unleased && this.#settings.sharesHandles && !taints && !this.transaction.isOpen,
    };
  }

  /**
   * Runs a statement. Not async itself: that would cost each of them two promises more.
   *
   * @param callLimit - The limit of each native call, if that is another one than `limit`.
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

  /** Makes a call, again and again while it meets the lock of another process. */
  async #untilUnlocked<T>(
    whole: Whole,
    start: () => Promise<T>,
    limit: Limit | undefined,
    callLimit: (() => Limit) | undefined,
    kind: CallKind,
    since: number | undefined,
  ): Promise<T> {
    const { control } = whole;
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
        await wait.pause(error);
        await this.#recheck(control);
      }
    }
  }

  /**
   * Opens a cursor and takes its first step, in a turn that the caller has. That is where it meets a lock, and it is tried again
   * as any other statement is, with a cursor of its own: one that has failed has ended.
   */
  async begin(
    statement: Runnable,
    open: () => Cursor,
    limit: Limit | undefined,
    lifetime: Lifetime,
  ): Promise<Begun> {
    const since = this.#settings.clock.now();
    await this.prepare(statement, limit);
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
        // A call that was cut may not have returned, and nobody waits for that.
        if (wait === undefined || error instanceof Cancelled) {
          this.close(cursor);
          throw error;
        }
        await this.cursors.end(cursor);
        await wait.pause(error);
        await this.#recheck('none');
      }
    }
  }

  /** Closes a cursor in the background: what comes next on its connection waits for its turn anyway. */
  close(cursor: Cursor): void {
    this.cursors.close(cursor).catch(() => {
      this.tainted = true;
    });
  }

  /** Before a statement: is the transaction still there, and is it this process's turn to write? */
  async prepare(statement: Whole, limit: Limit | undefined): Promise<void> {
    await this.cursors.endInterrupted();
    await this.resolveState();
    this.transaction.check();
    if (statement.taints) this.tainted = true;
    if (!statement.readonly && !this.writeLock.tryAcquire())
      await this.writeLock.acquire(writeLockLimit(this.#settings, limit, this.calls.cancelToken));
  }

  /** Asks SQLite where the transaction stands, if only SQLite knows. */
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

  /** The same after something that may have been committed: that it cannot be found out does not undo it. */
  async confirm(commits: boolean): Promise<void> {
    try {
      await this.resolveState();
    } catch (error) {
      throw commits ? unknownBecause(asThrown(error)) : error;
    }
  }

  /** Rolls back whatever is open. */
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

  #urgencyOf({ control, readonly }: Runnable): NonNullable<ExecuteHint['urgency']> {
    if (control !== 'none') return 'control';
    return readonly && !this.writeLock.isHeld ? 'reader' : 'writer';
  }

  /** Whether something is in the database for good when it has succeeded. */
  #commits({ control, readonly }: Whole): boolean {
    if (control === 'batch') return !readonly;
    const { isOpen, endsByRelease } = this.transaction;
    if (control === 'none') return !readonly && !isOpen;
    return this.writeLock.isHeld && (control === 'commit' || (control === 'release' && endsByRelease));
  }

  /** Whether nothing is to be done before a statement; takes the turn to write if it is needed and free. */
  #isReady({ readonly, taints }: Runnable): boolean {
    const { transaction } = this;
    if (taints || this.cursors.areInterrupted || transaction.isUncertain || transaction.isLost) return false;
    return readonly || this.writeLock.tryAcquire();
  }

  /**
   * Whether a statement that met a lock may be tried again, for how long it is worth it.
   *
   * With nothing open, SQLITE_BUSY means that the statement has done nothing: it comes from the lock at its beginning, or
   * from its own commit, which SQLite then rolls back (`sqlite3VdbeHalt`). The same is true of the first statement of a
   * transaction. A COMMIT that meets a reader leaves its transaction as it is, and may be tried again:
   * https://www.sqlite.org/lang_transaction.html. Anything later, or beside a cursor, holds a lock or a snapshot itself, and
   * waiting with it can be what the other process waits for.
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
    const { clock, acquisitionTimeoutMs } = this.#settings;
    const cancelled = this.calls.cancelToken;
    return new BusyWait({ clock, deadline: (since ?? clock.now()) + acquisitionTimeoutMs, limit, cancelled });
  }

  /** Before another try: SQLite may have rolled back by itself, and then the statement would commit alone. */
  async #recheck(control: Whole['control']): Promise<void> {
    await this.resolveState();
    if (control !== 'begin' && control !== 'rollback') this.transaction.check();
  }

  /** What is lost was rolled back already. */
  #forgetLost(): Result {
    this.transaction.ended();
    return { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
  }
}

function isResult(value: unknown): value is Result {
  return Array.isArray((value as Partial<Result> | undefined)?.rows);
}

/** Whether a driver has answered a batch with an outcome for each of its statements. */
export function isOutcomes(value: unknown, calls: { readonly length: number }): value is BatchOutcome[] {
  return (
    Array.isArray(value) &&
    value.length === calls.length &&
    value.every((outcome: BatchOutcome) => outcome.status !== 'done' || isResult(outcome.result))
  );
}
