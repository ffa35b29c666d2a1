import { resultCodeOf } from '../../driver-errors.ts';
import { tryBegin } from '../completed-connection.ts';
import { toInteger } from '../integers.ts';
import type { Connection, ExecuteHint, Result, Row, Value } from '../../driver.ts';
import { UNKNOWN_MS, type Estimate } from './estimates.ts';
import { SHORT_BUSY_TIMEOUT_MS } from './busy-timeout.ts';
import { NativeCalls } from './calls.ts';
import {
  byPosition,
  executeNamed,
  mendPrototypes,
  originalName,
  protoNames,
  result,
  rowOf,
  valuesOf,
  type Asked,
  type ProtoColumns,
} from './columns.ts';
import { step, type Callback, type Sqlite3Database, type Sqlite3Statement } from './package.ts';
import { NativeStatements, type StatementsSettings } from './statements.ts';
import { bindable, NO_VALUES } from './values.ts';

/** A statement without a hint is part of an open or a close. It may do anything, and must not wait for queries. */
const UNDESCRIBED: ExecuteHint = {
  rowMode: 'object',
  readonly: false,
  returnsRows: true,
  effect: 'insert',
  urgency: 'control',
};

/** The hint for a cursor. */
const CURSOR: ExecuteHint = { ...UNDESCRIBED, readonly: true, effect: 'none', urgency: 'reader' };

/** The settings of a handle. */
export interface Sqlite3Settings extends StatementsSettings {
  /** Whether the handle has the short busy timeout of the pool, which is too short for a script. */
  readonly waitsBriefly: boolean;
  readonly protoColumns: ProtoColumns;
}

/** The answer of `sqlite3_close` when something of the handle still exists. https://www.sqlite.org/c3ref/close.html */
const BUSY = 5;

/** How long a script waits for the lock of another process, at each of its statements, in milliseconds. */
const SCRIPT_BUSY_TIMEOUT_MS = 5000;

/**
 * One handle of the sqlite3 package. The package needs the pool's rule of one call at a time. Parallel calls on one
 * handle each block a thread of libuv, and `finalize` beside a running call blocks the event loop.
 */
export class Sqlite3Connection implements Connection {
  readonly #database: Sqlite3Database;
  readonly #hasShortTimeout: boolean;
  readonly #prepareNative: Sqlite3Database['prepare'];
  readonly #statements: NativeStatements;
  readonly #protoColumns: ProtoColumns;
  readonly #calls = new NativeCalls();
  /** The statements that a user prepared on the raw handle. The close finalizes those that the user forgot. */
  #foreign: Set<Sqlite3Statement> | undefined;
  #closing = false;
  /** An error that belongs to no call. The handle can no longer be trusted. */
  #stray: Error | undefined;

  constructor(database: Sqlite3Database, settings: Sqlite3Settings) {
    this.#database = database;
    this.#hasShortTimeout = settings.waitsBriefly;
    this.#protoColumns = settings.protoColumns;
    this.#prepareNative = database.prepare.bind(database);
    this.#statements = new NativeStatements(this.#prepareNative, this.#calls, settings, this.#onStray);
    // Without a listener, the event would end the process.
    database.on('error', this.#onStray);
  }

  readonly #onStray = (error: Error): void => {
    this.#stray = error;
  };

  /** Whether the handle can no longer be trusted. */
  get broken(): boolean {
    return this.#stray !== undefined;
  }

  /** The handle itself. From the first use on, the connection remembers the statements that are prepared on it. */
  get raw(): Sqlite3Database {
    if (this.#foreign === undefined) {
      const foreign = (this.#foreign = new Set());
      this.#database.prepare = (...args) => {
        const statement = this.#prepareNative(...args);
        foreign.add(statement);
        return statement;
      };
    }
    return this.#database;
  }

  execute(sql: string, params: readonly Value[] = [], hint: ExecuteHint = UNDESCRIBED): Promise<Result> {
    this.#statements.isInterrupted = false;
    this.#protoColumns.note(sql);
    return hint.rowMode === 'array' || this.#protoColumns.mayBeIn(sql)
      ? executeNamed(sql, hint, this.#protoColumns, this.#asked(params, hint))
      : this.#execute(sql, params, hint);
  }

  /** The package does not report it. */
  inTransaction(): Promise<boolean> {
    return tryBegin(this);
  }

  async rollback(): Promise<void> {
    try {
      await this.exec('ROLLBACK');
    } catch (error) {
      // The package does not report whether a transaction is open. SQLite does, in this message.
      if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error;
    }
  }

  /** `sqlite3_close` refuses while statements exist, so this finalizes them first. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#statements.clear();
    // With a callback: without one, a statement that was already finalized would emit an error.
    for (const statement of this.#foreign ?? []) statement.finalize(() => undefined);
    // An interrupt stays set until another statement begins. It would make the checkpoint of the last close fail, and
    // the WAL would be left behind. https://www.sqlite.org/c3ref/interrupt.html
    await this.exec('SELECT 1').catch(() => undefined);
    try {
      await this.#calls.run({ ms: 0 }, 'writer', (callback) => {
        this.#database.close(callback);
      });
    } catch (error) {
      // Any other error means that the user has already closed the handle.
      if ((error as { errno?: unknown }).errno !== BUSY) return;
      process.emitWarning(
        'A connection could not be closed and stays open: something made on its raw handle still runs, a backup for example.',
        { type: 'SqlitePoolWarning', code: 'SQLITE_POOL_LEAK' },
      );
      throw error;
    } finally {
      this.#calls.quit();
    }
  }

  /**
   * A script that met a lock cannot be tried again from its middle. So SQLite itself waits for longer, unless the user
   * or the script has set another busy timeout than the pool's.
   */
  async script(sql: string): Promise<void> {
    this.#statements.isInterrupted = false;
    this.#protoColumns.note(sql);
    if (/busy_timeout/i.test(sql) || !(await this.#waitsBriefly())) {
      await this.#exec(sql, UNKNOWN_MS);
      return;
    }
    // Not by PRAGMA: an interrupt that outlives the script could keep the PRAGMA from running. `configure` takes the
    // handle's mutex on this thread, and no call runs on the handle now.
    this.#database.configure('busyTimeout', SCRIPT_BUSY_TIMEOUT_MS);
    try {
      await this.#exec(sql, UNKNOWN_MS);
    } finally {
      this.#database.configure('busyTimeout', SHORT_BUSY_TIMEOUT_MS);
    }
  }

  /** Whether the handle has the short busy timeout of the pool. */
  async #waitsBriefly(): Promise<boolean> {
    if (!this.#hasShortTimeout) return false;
    const [row] = await this.#rows('PRAGMA busy_timeout', NO_VALUES, UNDESCRIBED);
    return row?.['timeout'] === SHORT_BUSY_TIMEOUT_MS;
  }

  /** Runs the pool's own text without a slot, because an open must not wait behind the queries of other callers. */
  exec(sql: string): Promise<void> {
    return this.#exec(sql, 0);
  }

  /** Uses a statement of its own, because the body of the loop could use the one in the cache. */
  async *iterate(sql: string, params: readonly Value[]): AsyncGenerator<Row, void, undefined> {
    this.#statements.isInterrupted = false;
    this.#protoColumns.note(sql);
    const names = await protoNames(sql, CURSOR, this.#protoColumns, this.#asked(params, CURSOR));
    const statement = await this.#calls.run<Sqlite3Statement>({ ms: UNKNOWN_MS }, 'reader', (callback) => {
      this.#statements.prepare(names === undefined ? sql : byPosition(sql, names), callback);
    });
    const estimate: Estimate = { ms: UNKNOWN_MS };
    const next = (values: readonly Value[]): Promise<Row | undefined> =>
      this.#calls.run(estimate, 'reader', (callback) => {
        step(statement, values, callback);
      });
    try {
      let row = await next(bindable(params));
      while (row !== undefined) {
        mendPrototypes([row]);
        yield names === undefined ? row : rowOf(names.map(originalName), valuesOf(row, names));
        // After the last row, the result is `undefined`.
        row = await next(NO_VALUES);
      }
    } finally {
      statement.finalize();
    }
  }

  interrupt(): void {
    // The closing handle runs no call of a user any more, and the checkpoint of the close must not be interrupted.
    if (this.#closing) return;
    this.#statements.isInterrupted = true;
    this.#calls.interrupt();
    try {
      this.#database.interrupt();
    } catch {
      // The method throws when the handle is closing or closed. Then there is nothing left to interrupt.
    }
  }

  #execute(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    if (!hint.returnsRows) return this.#run(sql, params, hint);
    // `all`, never `get`: it steps to the end. So the commit of an INSERT … RETURNING is done and reported, and no read
    // stays open. `get` acknowledges before the commit and discards the error of the commit.
    const done = this.#statements.use<Result>(sql, params, hint, (statement, callback) => {
      all(statement, params, (error, rows) => {
        callback(error, rows && result(rows, 0, 0));
      });
    });
    if (hint.readonly || hint.effect === 'none') return done;
    return done.then(({ rows }) => this.#withChanges(rows, hint));
  }

  async #run(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    const done = await this.#statements.use<Result>(sql, params, hint, (statement, callback) => {
      statement.run(bindable(params), function (error) {
        // If this statement changed nothing, SQLite keeps both counts from an earlier one, perhaps of another user.
        const changes = hint.effect === 'none' ? 0 : this.changes;
        callback(error, result([], changes, hint.effect === 'insert' && changes > 0 ? this.lastID : 0));
      });
    });
    return Number.isSafeInteger(done.lastInsertRowid) ? done : await this.#withChanges([], hint);
  }

  #exec(sql: string, estimateMs: number): Promise<void> {
    return this.#calls.run({ ms: estimateMs }, 'writer', (callback) => {
      this.#database.exec(sql, callback);
    });
  }

  #rows(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Row[]> {
    return this.#statements.use<Row[]>(sql, params, hint, (statement, callback) => {
      all(statement, params, callback);
    });
  }

  /** The functions that run statements with the parameters of a call. */
  #asked(params: readonly Value[], hint: ExecuteHint): Asked {
    return {
      rows: (sql) => this.#rows(sql, params, hint),
      execute: (sql) => this.#execute(sql, params, hint),
    };
  }

  async #withChanges(rows: Row[], { effect }: ExecuteHint): Promise<Result> {
    const { changes, rowid } = await this.#counts();
    return result(rows, changes, effect === 'insert' && changes > 0 ? toInteger(rowid) : 0);
  }

  /** The statement is already done. An interrupt that comes so late must not make it look failed. */
  async #counts(): Promise<Counts> {
    for (let left = MOST_INTERRUPTS; ; left -= 1) {
      this.#statements.isInterrupted = false;
      try {
        const [counts] = await this.#rows(COUNTS, NO_VALUES, UNDESCRIBED);
        return { changes: Number(counts?.['changes']), rowid: String(counts?.['rowid']) };
      } catch (error) {
        if (left > 0 && resultCodeOf(error) === INTERRUPT) continue;
        // Without a result code, because that would look like the result of the statement.
        throw new Error('What the statement has changed could not be read.', { cause: error });
      }
    }
  }
}

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;
/**
 * The largest number of tries. While a cursor is open, SQLite does not forget an interrupt.
 * https://www.sqlite.org/c3ref/interrupt.html
 */
const MOST_INTERRUPTS = 100;

interface Counts {
  readonly changes: number;
  readonly rowid: string;
}

/** Reads the rowid as text, because the package rounds integers beyond 2^53. */
const COUNTS = 'SELECT changes() AS changes, CAST(last_insert_rowid() AS TEXT) AS rowid';

function all(statement: Sqlite3Statement, params: readonly Value[], callback: Callback<Row[]>): void {
  statement.all(bindable(params), (error, rows) => {
    if (error === null) mendPrototypes(rows);
    callback(error, rows);
  });
}
