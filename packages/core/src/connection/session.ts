import { asThrown, Cancelled, type CallQueue } from './call-queue.ts';
import type { Cursor, Cursors } from './cursors.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { Result, Row } from '../driver.ts';
import type { CompleteConnection } from '../drivers/completed-connection.ts';
import { LeaseEndedError, TransactionLostError, UnsupportedError } from '../errors.ts';
import { beginLimit, operationLimit, statementLimit } from '../waiting/limits.ts';
import { asFarAsKnown, outcomeOf } from './outcome.ts';
import type { Call, QueryOptions } from '../query/queryable.ts';
import type { SharedFile } from './shared-file.ts';
import { isAllOrNothing, parse, parseScript } from '../query/sql.ts';
import { CHECK, Statements, type Origin, type StatementsSettings } from './statements.ts';
import type { TransactionState } from './transaction-state.ts';

/** What a session needs to know of its pool. */
export interface SessionContext extends StatementsSettings {
  /** Keep a connection its user has changed: an in-memory database would be lost with it. */
  readonly keepTainted: boolean;
}

const UNLEASED: Origin = { unleased: true };

/** Something that can be the only one to use a connection: a transaction, perhaps inside another one. */
export interface Scope {
  readonly outer: Scope | undefined;
}

/**
 * `lost`: nobody can use it again. `open`: something runs or is open on it. `tainted`: it was changed in a way that is not put back,
 * because putting TEMP, ATTACH and PRAGMA state back costs more than a new connection, and can be wrong.
 */
export type Condition = 'lost' | 'open' | 'tainted' | 'clean';

/** What a connection reads with. */
export interface Reading {
  readonly what: 'a transaction' | 'an open cursor' | 'a statement';
  /** The same as long as it is the same transaction, cursor or statement. */
  readonly reading: object;
}

/**
 * One connection as the pool drives it: one call at a time, writes only with the turn to write, and an account of what
 * the user leaves behind.
 */
export class Session {
  readonly connection: CompleteConnection;
  /** The innermost transaction under way; only its handle may use the connection. */
  scope: Scope | undefined;
  readonly #context: SessionContext;
  readonly #file: SharedFile;
  readonly #statements: Statements;
  readonly #calls: CallQueue;
  readonly #cursors: Cursors;
  readonly #transaction: TransactionState;
  #drained: Promise<void> | undefined;

  constructor(connection: CompleteConnection, file: SharedFile, context: SessionContext) {
    this.connection = connection;
    this.#context = context;
    this.#file = file.join();
    this.#statements = new Statements(connection, file.writeLock, context);
    const { calls, cursors, transaction } = this.#statements;
    this.#calls = calls;
    this.#cursors = cursors;
    this.#transaction = transaction;
  }

  /** Whether a transaction may be open. */
  get inTransaction(): boolean {
    return this.#transaction.isOpen;
  }

  /** What keeps its connection at an old state of the file, the outermost first; `undefined` if nothing does. */
  get reading(): Reading | undefined {
    if (!this.#transaction.isUntouched) {
      let { scope } = this;
      while (scope?.outer !== undefined) scope = scope.outer;
      return { what: 'a transaction', reading: scope ?? this.#transaction };
    }
    const cursor = this.#cursors.oldest;
    if (cursor !== undefined) return { what: 'an open cursor', reading: cursor };
    const call = this.#calls.current;
    return call && { what: 'a statement', reading: call };
  }

  /** What its user has left it in. */
  get condition(): Condition {
    if (this.broken || this.#calls.isShut) return 'lost';
    if (this.#calls.busy || this.#isOpen) return 'open';
    return this.#isTainted ? 'tainted' : 'clean';
  }

  /** Whether something is open on it, or was changed. */
  get holdsState(): boolean {
    return this.#isOpen || this.#isTainted || this.condition === 'lost';
  }

  get #isOpen(): boolean {
    return this.#cursors.size > 0 || this.scope !== undefined || this.inTransaction;
  }

  get #isTainted(): boolean {
    return this.#statements.tainted && !this.#context.keepTainted;
  }

  /** Whether a call has failed in a way that leaves it open whether it is still good. */
  get isSuspect(): boolean {
    return this.#calls.isSuspect;
  }

  /** Whether the driver says that its handle cannot be trusted any more. */
  get broken(): boolean {
    return this.connection.broken === true;
  }

  /** Notes that someone used the driver's own connection: nothing is known of it any more. */
  taint(): void {
    this.#statements.tainted = true;
  }

  /**
   * Runs one statement. The way of all of them, so there is nothing to wait for where nothing stands in the way.
   *
   * @param unleased - Whether no lease holds the connection.
   */
  async perform(call: Call, unleased: boolean = false): Promise<Result> {
    const limit = statementLimit(this.#context, call.timeoutMs, call.signal);
    if (limit !== undefined || !this.#calls.tryAcquire()) await this.#calls.acquire(limit);
    try {
      return await this.#statements.perform(call, limit, unleased ? UNLEASED : undefined);
    } catch (error) {
      throw asThrown(error);
    } finally {
      this.#calls.release();
    }
  }

  /** Runs several statements in one turn, all or nothing. */
  batch(
    calls: readonly Call[],
    { signal, timeoutMs }: QueryOptions,
    unleased: boolean = false,
  ): Promise<Result[]> {
    const limit = statementLimit(this.#context, timeoutMs, signal);
    return this.#calls.withLock(limit, () => this.#statements.performAll(calls, limit, unleased));
  }

  /** Takes a turn for `work`, of which `undo` is a part if it fails: what comes next must not find half of it. */
  async #withLockOrUndone<T>(
    limit: Limit | undefined,
    work: () => Promise<T>,
    undo: () => Promise<void>,
  ): Promise<T> {
    await this.#calls.acquire(limit);
    let undone: Promise<void> | undefined;
    try {
      return await work();
    } catch (error) {
      undone = undo().catch(this.#endUnlessLost);
      // Past its limit nobody waits for that, but the turn is kept until it is done.
      if (!(error instanceof Cancelled)) await undone;
      throw asThrown(error);
    } finally {
      if (undone === undefined) this.#calls.release();
      else {
        void undone.then(() => {
          this.#calls.release();
        });
      }
    }
  }

  /** Takes a turn for several statements, which must leave nothing open. */
  withStatements(work: (statements: Statements) => Promise<void>): Promise<void> {
    return this.#calls.withLock(undefined, () => work(this.#statements));
  }

  /**
   * Begins a transaction, or a savepoint in one, on a user's behalf; `false` if it did not, because the user has begun
   * a transaction by hand, which is not ours to end.
   */
  begin(sql: string, whole: Limit): Promise<boolean> {
    const limit = beginLimit(this.#context, whole);
    return this.#calls.operate(limit, async () => {
      await this.#statements.resolveState();
      if (parse(sql).control === 'begin' && this.inTransaction) return false;
      await this.#statements.control(sql, limit);
      return true;
    });
  }

  /** Runs several statements. If one fails or it is cancelled, a transaction the script itself has opened is rolled back. */
  script(sql: string, { signal, timeoutMs }: QueryOptions): Promise<void> {
    const statements = parseScript(sql);
    const limit = statementLimit(this.#context, timeoutMs, signal);
    let isOurs = false;
    const work = async (): Promise<void> => {
      const run = this.connection.script?.bind(this.connection);
      if (run === undefined)
        throw new UnsupportedError('This connection runs no scripts: it has no script().');
      const outside = !this.#transaction.isOpen;
      for (const statement of statements) await this.#statements.prepare(statement, limit);
      // With one of these in it, a script can leave a transaction open wherever it stops.
      const controls = statements.some(({ control }) => control !== 'none');
      const commits = (outside || controls) && statements.some(({ readonly }) => !readonly);
      try {
        await this.#calls
          .call(() => run(sql), limit)
          .catch(async (error: unknown) => {
            if (!commits) throw error;
            if (!isAllOrNothing(statements)) throw asFarAsKnown(error);
            await outcomeOf(error, this.#context.clock);
          });
      } catch (error) {
        this.#transaction.failed(controls ? 'script' : 'none', error instanceof Cancelled, error);
        isOurs = outside;
        throw error;
      }
      if (controls) this.#transaction.scripted();
      else this.#transaction.touched();
      await this.#statements.confirm(commits);
    };
    return this.#withLockOrUndone(limit, work, async () => {
      if (isOurs) await this.#statements.rollback();
    });
  }

  /** Steps through rows. The time limit is for each step: the time SQLite takes, not the time the consumer takes. */
  async *iterate({
    statement,
    values,
    signal,
    timeoutMs,
    outlivesCommit,
  }: Call): AsyncGenerator<Row, void, undefined> {
    const limit = (): Limit | undefined => statementLimit(this.#context, timeoutMs, signal);
    const open = (): Cursor => {
      const cursor = this.connection.iterate?.(statement.sql, values);
      if (cursor === undefined)
        throw new UnsupportedError('This connection has no cursors: it has no iterate(). Use all().');
      return cursor;
    };
    const opening = limit();
    const { cursor, first } = await this.#calls.withLock(opening, () =>
      this.#statements.begin(statement, open, opening, outlivesCommit === true ? 'commit' : 'transaction'),
    );
    try {
      for (let step = first; step.done !== true; step = await this.#step(cursor, limit())) yield step.value;
    } finally {
      this.#statements.close(cursor);
    }
  }

  async #step(cursor: Cursor, limit: Limit | undefined): Promise<IteratorResult<Row, unknown>> {
    try {
      return await this.#cursors.step(cursor, limit);
    } catch (error) {
      this.#transaction.failed('none', false, error);
      throw error;
    }
  }

  /**
   * Commits, after whatever still reads in this transaction has been closed. The limit holds until the COMMIT begins:
   * one that was cancelled half-way could have been done, and then what rejected would not be rolled back.
   */
  commit(limit: Limit): Promise<void> {
    return this.#calls.operate(limit, () => this.#statements.commit(limit));
  }

  /** Ends a savepoint, and keeps what was done since. */
  release(savepoint: string): Promise<void> {
    const limit = operationLimit(this.#context, 'RELEASE');
    return this.#calls.operate(limit, () => this.#statements.control(`RELEASE ${savepoint}`, limit));
  }

  /** Rolls back whatever is open; resolves if nothing is. */
  rollback(): Promise<void> {
    return this.#undo(async () => {
      await this.#cursors.closeAll('transaction', 'commit');
      await this.#statements.rollback();
    });
  }

  /** Undoes what was done since a savepoint, and forgets it. */
  rollbackTo(savepoint: string): Promise<void> {
    const limit = operationLimit(this.#context, 'rollback');
    return this.#undo(async () => {
      await this.#statements.control(`ROLLBACK TO ${savepoint}`, limit);
      await this.#statements.control(`RELEASE ${savepoint}`, limit);
    });
  }

  /**
   * In one turn: whoever comes next must not find what is half undone. If it cannot be undone, nobody comes next: a
   * statement would be part of a transaction that is lost with the connection.
   */
  async #undo(work: () => Promise<void>): Promise<void> {
    const undone = this.#calls.operate(operationLimit(this.#context, 'rollback'), async () => {
      try {
        await work();
      } catch (error) {
        this.#endUnlessLost(error);
        throw error;
      }
    });
    // It may also be that the turn did not come in time.
    await undone.catch(this.#endUnlessLost);
  }

  /** What was begun could not be undone. A transaction that SQLite has rolled back has taken its savepoints with it. */
  readonly #endUnlessLost = (error: unknown): void => {
    if (!(error instanceof TransactionLostError)) this.end(() => new TransactionLostError(asThrown(error)));
  };

  /** Ends what the last user has left open; rejects if that cannot be done. */
  reset(): Promise<void> {
    this.scope = undefined;
    return this.#calls.operate(operationLimit(this.#context, 'reset'), async () => {
      await this.#cursors.closeAll();
      await this.#statements.rollback();
    });
  }

  /** Rejects unless the connection answers. */
  async validate(): Promise<void> {
    if (this.broken) throw new LeaseEndedError('The driver says that this connection is broken.');
    const limit = statementLimit(this.#context, undefined, undefined);
    const check = parse(this.isSuspect ? READS_FILE : 'SELECT 1');
    await this.#calls.withLock(limit, () => this.#statements.execute(check, [], CHECK, limit));
    this.#calls.isSuspect = false;
  }

  /** Cancels what runs and refuses what comes; resolves when no native call is under way. */
  drain(): Promise<void> {
    if (this.#drained === undefined) {
      this.end(() => new LeaseEndedError('This connection was closed.'));
      this.#drained = this.#calls.drained();
    }
    return this.#drained;
  }

  /** Drains and closes the connection. `optimize`: update its statistics first. */
  async close(optimize: boolean): Promise<void> {
    await this.drain();
    try {
      await this.#cursors.closeAll().catch(() => undefined);
      const close = (): Promise<void> => this.connection.close();
      const inOrder = (): Promise<void> => this.#file.close(close, this.#context.clock);
      const keepsOthersWaiting = !(await this.#releaseWriteLock());
      if (optimize && !this.#statements.tainted && !this.inTransaction) await this.#optimize();
      await this.#calls.call(keepsOthersWaiting ? close : inOrder, undefined, 'operation');
    } finally {
      this.#statements.writeLock.release();
      this.#file.leave();
    }
  }

  /**
   * Closes wait for each other: until this one's place comes, an open transaction would keep others from writing. Resolves to whether
   * it keeps nobody from that any more.
   */
  async #releaseWriteLock(): Promise<boolean> {
    if (!this.#statements.writeLock.isHeld) return true;
    return await this.#statements.rollback().then(
      () => true,
      () => false,
    );
  }

  /** Cancels what runs and what waits: the handle that all of it was called on has ended. `why` makes an error for each. */
  cancel(why: () => unknown): void {
    this.#calls.cancel(why);
  }

  /** Cancels what runs, and refuses what comes. */
  end(why: () => unknown): void {
    this.#calls.shut(why);
  }

  /** The native call does not return and the pool gives the connection up: no writer may wait for it. */
  abandon(): void {
    this.#calls.stopInterrupting();
    this.#statements.writeLock.release();
  }

  /** https://www.sqlite.org/pragma.html#pragma_optimize: cheap unless statistics are missing or stale. */
  async #optimize(): Promise<void> {
    if (!this.#statements.writeLock.tryAcquire()) return;
    try {
      await this.#calls.call(() => this.connection.execute('PRAGMA optimize'), undefined);
    } catch {
      // Statistics can wait for the next close.
    }
  }
}

/** A statement without a table succeeds on a file that cannot be read any more. */
const READS_FILE = 'SELECT count(*) FROM sqlite_schema';
