import type { Connection, ExecuteHint, Result, Row, Value } from '../driver.ts';
import type { CallStart, FakeDatabase, FakeMethod, Running, Writer } from './fake-call.ts';

/**
 * An ability that a fake connection may lack.
 *
 * @example const ability: FakeAbility = 'interrupt';
 */
export type FakeAbility = 'script' | 'iterate' | 'interrupt' | 'inTransaction';

/** An error with SQLite's result code, as a driver makes it. */
function sqliteError(errno: number, code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { errno, code });
}

const CURSOR_ROWS = 3;
const nothing = (): undefined => undefined;
const WRITES = /^\s*(?:insert|update|delete|replace|create|drop|alter|begin\s+(?:immediate|exclusive))\b/i;

/** A connection without a database. */
export class FakeConnection implements Connection, Writer {
  readonly number: number;
  readonly #database: FakeDatabase;
  #running: Running | undefined;
  #closed = false;
  #begun = false;
  /** The names of the open savepoints, the innermost last. */
  #savepoints: string[] = [];
  #writes = false;
  #canInterrupt = true;
  #cannotEnd = false;
  /** Whether the last call hangs, or has hung. A close does not change that. */
  #hangs = false;

  constructor(database: FakeDatabase, number: number) {
    this.#database = database;
    this.number = number;
    database.connections.add(this);
  }

  /** Removes abilities. */
  without(abilities: readonly FakeAbility[]): this {
    for (const ability of abilities) Object.defineProperty(this, ability, { value: undefined });
    this.#canInterrupt = !abilities.includes('interrupt');
    return this;
  }

  get inTransactionNow(): boolean {
    return this.#begun || this.#savepoints.length > 0;
  }

  /**
   * Whether the connection counts as a writer for the check that the pool never lets two connections write. A
   * connection whose call hangs does not count: it may hold the write lock for ever, or get it long after the pool has
   * abandoned it. A connection whose rollback has failed does not count either: it holds the lock until it is closed.
   * The pool can prevent neither.
   */
  get isWriting(): boolean {
    const last = this.#running;
    return (
      !this.#hangs && !this.#cannotEnd && (this.#writes || (last?.settled === false && WRITES.test(last.sql)))
    );
  }

  execute(sql: string, _params?: readonly Value[], hint?: ExecuteHint): Promise<Result> {
    return this.#perform('execute', sql, () => {
      this.#apply(sql);
      if (this.inTransactionNow && (hint?.readonly === false || WRITES.test(sql))) this.#writes = true;
      return { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
    });
  }

  script(sql: string): Promise<void> {
    return this.#perform('script', sql, () => {
      for (const statement of sql.split(';')) this.#apply(statement);
    });
  }

  async rollback(): Promise<void> {
    try {
      await this.#perform('rollback', '', () => this.#endTransaction());
    } catch (error) {
      this.#cannotEnd = true;
      throw error;
    }
  }

  close(): Promise<void> {
    const closed = (): void => {
      this.#endTransaction();
      this.#database.connections.delete(this);
    };
    try {
      const closing = this.#perform('close', '', nothing);
      // A handle whose close failed is useless, too.
      closing.then(closed, closed);
      return closing;
    } catch (error) {
      closed();
      throw error;
    } finally {
      this.#closed = true;
    }
  }

  iterate(sql: string): AsyncIterator<Row, unknown, undefined> {
    const { call, outcome } = this.#begin('iterate', sql, nothing);
    call.settled = true;
    if (typeof outcome === 'object' && 'throw' in outcome) throw outcome.throw;
    let n = 0;
    return {
      next: () =>
        this.#perform('next', '', () => {
          n += 1;
          return n > CURSOR_ROWS ? { done: true, value: undefined } : { done: false, value: { n } };
        }),
      return: () => this.#perform('return', '', () => ({ done: true, value: undefined })),
    };
  }

  interrupt(): void {
    const running = this.#running;
    const { call, outcome } = this.#database.begin(this.#start('interrupt', ''), nothing);
    call.settled = true;
    if (typeof outcome === 'object' && 'throw' in outcome) {
      this.#hangs ||= running?.outcome === 'interruptible';
      throw outcome.throw;
    }
    if (running?.settled !== false || running.outcome !== 'interruptible') return;
    // https://www.sqlite.org/c3ref/interrupt.html: an interrupted write rolls its transaction back.
    if (WRITES.test(running.sql)) this.#endTransaction();
    running.reject(sqliteError(9, 'SQLITE_INTERRUPT', 'interrupted'));
  }

  inTransaction(): Promise<boolean> {
    return this.#perform('inTransaction', '', () => this.inTransactionNow);
  }

  #start(method: FakeMethod, sql: string): CallStart {
    return { method, connection: this.number, sql };
  }

  #begin<T>(method: FakeMethod, sql: string, effect: () => T) {
    this.#check(method, sql);
    return this.#database.begin(this.#start(method, sql), effect);
  }

  #perform<T>(method: FakeMethod, sql: string, effect: () => T): Promise<T> {
    this.#check(method, sql);
    return this.#database.perform(this.#start(method, sql), effect, (call) => {
      this.#running = call;
      const hangs = call.outcome === 'hang' || (call.outcome === 'interruptible' && !this.#canInterrupt);
      this.#hangs = hangs || (method === 'close' && this.#hangs);
    });
  }

  #check(method: FakeMethod, sql: string): void {
    const { violations, connections } = this.#database;
    const what = `${method}(${sql}) on connection ${String(this.number)}`;
    if (this.#running?.settled === false)
      violations.push(`${what} while ${this.#running.method}(${this.#running.sql}) runs`);
    if (this.#closed) violations.push(`${what} after its close`);
    const other = [...connections].find((connection) => connection !== this && connection.isWriting);
    if (WRITES.test(sql) && other !== undefined)
      violations.push(`${what} while connection ${String(other.number)} writes`);
  }

  /**
   * Follows https://www.sqlite.org/lang_transaction.html and https://www.sqlite.org/lang_savepoint.html, as far as the
   * pool uses them.
   */
  #apply(sql: string): void {
    const [verb = '', second = '', third = ''] = sql.trim().toUpperCase().split(/\s+/);
    if (verb === 'BEGIN') {
      if (this.inTransactionNow)
        throw sqliteError(1, 'SQLITE_ERROR', 'cannot start a transaction within a transaction');
      this.#begun = true;
    } else if (verb === 'COMMIT' || verb === 'END' || (verb === 'ROLLBACK' && second !== 'TO')) {
      if (!this.inTransactionNow) throw sqliteError(1, 'SQLITE_ERROR', 'no transaction is active');
      this.#endTransaction();
    } else if (verb === 'SAVEPOINT') this.#savepoints.push(second);
    else if (verb === 'RELEASE') this.#toSavepoint(second, 0);
    else if (verb === 'ROLLBACK') this.#toSavepoint(third, 1);
  }

  #toSavepoint(name: string, keep: 0 | 1): void {
    const at = this.#savepoints.lastIndexOf(name);
    if (at < 0) throw sqliteError(1, 'SQLITE_ERROR', `no such savepoint: ${name}`);
    this.#savepoints.length = at + keep;
    if (!this.inTransactionNow) this.#writes = false;
  }

  #endTransaction(): void {
    this.#begun = false;
    this.#savepoints = [];
    this.#writes = false;
  }
}
