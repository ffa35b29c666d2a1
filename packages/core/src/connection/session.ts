import { performAll } from './batch.ts';
import { asThrown, type CallQueue } from './call-queue.ts';
import type { Cursor, Cursors } from './cursors.ts';
import type { Limit } from '../waiting/deadline.ts';
import type { ExecuteHint, Result, Row } from '../driver.ts';
import { CONTROL, type CompleteConnection } from '../drivers/completed-connection.ts';
import { LeaseEndedError, noteSql, UnsupportedError } from '../errors.ts';
import { beginLimit, operationLimit, statementLimit } from '../waiting/limits.ts';
import type { Call, CallOptions, Script } from '../query/call.ts';
import type { QueryOperation, WaitingOperation } from '../diagnostics/operation.ts';
import type { SharedFile } from './shared-file.ts';
import { parse } from '../query/sql.ts';
import { runScript } from './script.ts';
import { Statements, type Origin, type StatementsSettings } from './statements.ts';
import type { StuckCall } from './stuck-call.ts';
import type { TransactionState } from './transaction-state.ts';
import type { WriteLock } from './write-lock.ts';

/** The settings that a session needs. */
export interface SessionContext extends StatementsSettings {
  /**
   * Whether the pool keeps a connection that its user has changed: otherwise an in-memory database would be lost with
   * it.
   */
  readonly keepTainted: boolean;
}

let lastId = 0;

const UNLEASED: Origin = { unleased: true };

/** An exclusive user of a connection: a transaction, perhaps inside another one. */
export interface Scope {
  readonly outer: Scope | undefined;
}

/**
 * `lost`: the connection can no longer be used. `open`: a call runs on it, or something is open on it. `tainted`: its
 * user has changed state (TEMP, ATTACH, PRAGMA) that the pool does not restore. To restore it costs more than a new
 * connection, and can go wrong.
 */
export type Condition = 'lost' | 'open' | 'tainted' | 'clean';

/** The thing on a connection that keeps a snapshot of the file. */
export interface Reading {
  readonly what: 'a transaction' | 'an open cursor' | 'a statement';
  /** An identity: the same object for the same transaction, cursor or statement. */
  readonly reading: object;
}

/**
 * One connection as the pool uses it: one call at a time, writes only with the write lock, and a record of the state
 * that its user leaves behind.
 */
export class Session {
  readonly connection: CompleteConnection;
  /** A number that no other connection of the process has had. */
  readonly id: number = (lastId += 1);
  /** The innermost open transaction. Only its handle may use the connection. */
  scope: Scope | undefined;
  readonly #context: SessionContext;
  readonly #file: SharedFile;
  readonly #statements: Statements;
  readonly #calls: CallQueue;
  readonly #cursors: Cursors;
  readonly #transaction: TransactionState;
  #drained: Promise<void> | undefined;
  /** Whether every call has returned, and the connection closes. */
  #closing = false;

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

  /** The outermost thing that keeps the connection at an old snapshot of the file; `undefined` if there is none. */
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

  /** The condition in which its user has left it. */
  get condition(): Condition {
    if (this.broken || this.#calls.isShut) return 'lost';
    if (this.#calls.busy || this.#isOpen) return 'open';
    return this.#isTainted ? 'tainted' : 'clean';
  }

  /** Whether something is open on the connection, or its user has changed it, or it is lost. */
  get holdsState(): boolean {
    return this.#isOpen || this.#isTainted || this.condition === 'lost';
  }

  get #isOpen(): boolean {
    return this.#cursors.size > 0 || this.scope !== undefined || this.inTransaction;
  }

  get #isTainted(): boolean {
    return this.#statements.tainted && !this.#context.keepTainted;
  }

  /** The call that runs now, as far as something listened when it began. */
  get query(): QueryOperation | undefined {
    return this.#calls.busy ? this.#statements.observed : undefined;
  }

  /** The write lock of its file, as this connection holds it or not. */
  get writeLock(): WriteLock {
    return this.#statements.writeLock;
  }

  /** Whether a call has failed in such a way that the connection may be bad. */
  get isSuspect(): boolean {
    return this.#calls.isSuspect;
  }

  /** Whether the driver reports that its handle can no longer be trusted. */
  get broken(): boolean {
    return this.connection.broken === true;
  }

  /** Notes that a caller used the driver's own connection. The pool no longer knows its state. */
  taint(): void {
    this.#statements.tainted = true;
  }

  /**
   * Runs one statement. Most statements run through here, so it waits only where it must.
   *
   * @param unleased - Whether no lease needs the statement to run on this connection.
   */
  async perform(call: Call, unleased: boolean = false): Promise<Result> {
    const limit = statementLimit(this.#context, call.timeoutMs, call.signal);
    if (limit !== undefined || !this.#calls.tryAcquire()) await this.#calls.acquire(limit);
    if (call.operation !== undefined) this.#statements.observe(call.operation);
    try {
      return await this.#statements.perform(call, limit, unleased ? UNLEASED : undefined);
    } catch (error) {
      throw noteSql(asThrown(error), call.statement.written);
    } finally {
      this.#calls.release();
    }
  }

  /** Runs several statements under one lock, all or nothing. */
  batch(
    calls: readonly Call[],
    { signal, timeoutMs, operation }: CallOptions,
    unleased: boolean = false,
  ): Promise<Result[]> {
    const limit = statementLimit(this.#context, timeoutMs, signal);
    return this.#calls.withLock(limit, () => {
      if (operation !== undefined) this.#statements.observe(operation);
      return performAll(this.#statements, calls, limit, unleased);
    });
  }

  /** Runs several statements with the lock. `work` must leave nothing open. */
  withStatements(work: (statements: Statements) => Promise<void>): Promise<void> {
    return this.#calls.withLock(undefined, () => work(this.#statements));
  }

  /**
   * Begins a transaction, or a savepoint in one, for a caller. Resolves to `false` if the caller has already begun a
   * transaction by hand. The pool must not end that one.
   */
  begin(sql: string, whole: Limit, operation?: WaitingOperation): Promise<boolean> {
    const limit = beginLimit(this.#context, whole);
    return this.#calls.operate(limit, async () => {
      if (operation !== undefined) this.#statements.observe(operation);
      await this.#statements.resolveState();
      if (parse(sql).control === 'begin' && this.inTransaction) return false;
      await this.#statements.control(sql, limit);
      return true;
    });
  }

  /**
   * Runs several statements. If one fails, or the call is cancelled, rolls back a transaction that the script itself
   * has opened.
   */
  script(script: Script, options: CallOptions): Promise<void> {
    return runScript(this.#statements, script, options, this.#context);
  }

  /** Steps through rows. The time limit is for each step: it counts the time of SQLite, not the time of the consumer. */
  async *iterate({
    statement,
    values,
    signal,
    timeoutMs,
    outlivesCommit,
    operation,
  }: Call): AsyncGenerator<Row, void, undefined> {
    const limit = (): Limit | undefined => statementLimit(this.#context, timeoutMs, signal);
    const open = (): Cursor => {
      const cursor = this.connection.iterate?.(statement.sql, values);
      if (cursor === undefined)
        throw new UnsupportedError('This connection has no cursors: it has no iterate(). Use all().');
      return cursor;
    };
    const opening = limit();
    const lifetime = outlivesCommit === true ? 'commit' : 'transaction';
    let cursor: Cursor | undefined;
    try {
      const begun = await this.#calls.withLock(opening, () => {
        if (operation !== undefined) this.#statements.observe(operation);
        return this.#statements.begin(statement, open, opening, lifetime);
      });
      cursor = begun.cursor;
      if (operation !== undefined)
        this.#cursors.onClosed(cursor, (reason) => {
          operation.closed(reason);
        });
      for (let step = begun.first; step.done !== true; step = await this.#step(cursor, limit()))
        yield step.value;
    } catch (error) {
      throw noteSql(error, statement.written);
    } finally {
      if (cursor !== undefined) this.#statements.close(cursor);
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
   * Commits, after closing the cursors of this transaction that end with it. The limit holds until the COMMIT begins: a
   * COMMIT that is cancelled half-way may still be done, and a call that rejects must be rolled back.
   */
  commit(limit: Limit): Promise<void> {
    return this.#calls.operate(limit, () => this.#statements.commit(limit));
  }

  /** Ends a savepoint, and keeps the changes since. */
  release(savepoint: string): Promise<void> {
    const limit = operationLimit(this.#context, 'RELEASE');
    return this.#calls.operate(limit, () => this.#statements.control(`RELEASE ${savepoint}`, limit));
  }

  /** Rolls back the open transaction. Resolves if there is none. */
  rollback(): Promise<void> {
    return this.#undo(async () => {
      await this.#cursors.closeAll('transaction', 'commit');
      await this.#statements.rollback();
    });
  }

  /** Undoes the changes since a savepoint, and removes the savepoint. */
  rollbackTo(savepoint: string): Promise<void> {
    const limit = operationLimit(this.#context, 'rollback');
    return this.#undo(async () => {
      await this.#statements.control(`ROLLBACK TO ${savepoint}`, limit);
      await this.#statements.control(`RELEASE ${savepoint}`, limit);
    });
  }

  /** Undoes work under one lock, so that the next caller does not find it half undone. Never rejects. */
  async #undo(work: () => Promise<void>): Promise<void> {
    const undone = this.#calls.operate(operationLimit(this.#context, 'rollback'), async () => {
      try {
        await work();
      } catch (error) {
        this.#statements.undoFailed(error);
        throw error;
      }
    });
    // The undo also fails if the lock was not free in time.
    await undone.catch((error: unknown) => {
      this.#statements.undoFailed(error);
    });
  }

  /** Ends everything that the last user has left open. Rejects if that is not possible. */
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

  /** Cancels the running calls and refuses later ones. Resolves when no native call runs. */
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
    this.#closing = true;
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
   * Closes wait for each other. An open transaction on a connection in that queue would keep other connections from
   * writing, so it is rolled back before. Resolves to whether the connection no longer holds the write lock of SQLite.
   */
  async #releaseWriteLock(): Promise<boolean> {
    if (!this.#statements.writeLock.isHeld) return true;
    return await this.#statements.rollback().then(
      () => true,
      () => false,
    );
  }

  /** Whether a call runs on it: perhaps the pool's own, a rollback. */
  get isBusy(): boolean {
    return this.#calls.busy;
  }

  /** Resolves when every call that was made before has ended. Rejects if the connection ends before. */
  async calm(): Promise<void> {
    await this.#calls.acquire(undefined, 'operation');
    this.#calls.release();
  }

  /** Cancels the running and the waiting calls, because their handle has ended. `why` makes an error for each. */
  cancel(why: () => unknown): void {
    this.#calls.cancel(why);
  }

  /** Cancels the running calls and refuses later ones. */
  end(why: () => unknown): void {
    this.#calls.shut(why);
  }

  /** The native call does not return, and the pool abandons the connection. No writer may wait for it. */
  abandon(): StuckCall {
    const writes = this.#statements.writeLock.isHeld;
    this.#calls.stopInterrupting();
    this.#cursors.abandon();
    this.#statements.writeLock.release();
    return { sql: this.#closing ? undefined : this.#statements.sent, writes };
  }

  /** https://www.sqlite.org/pragma.html#pragma_optimize: cheap unless statistics are missing or stale. */
  async #optimize(): Promise<void> {
    if (!this.#statements.writeLock.tryAcquire()) return;
    try {
      await this.#calls.call(() => this.connection.execute('PRAGMA optimize'), undefined);
    } catch {
      // The next close can update the statistics.
    }
  }
}

/** The hint for a health check. */
const CHECK: ExecuteHint = { ...CONTROL, returnsRows: true };

/** A statement without a table succeeds even if the file can no longer be read, so this one reads the schema. */
const READS_FILE = 'SELECT count(*) FROM sqlite_schema';
