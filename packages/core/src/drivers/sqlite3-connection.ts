import {
  toInteger,
  type Connection,
  type ExecuteHint,
  type Result,
  type Row,
  type Value,
} from '../driver.ts';
import { isShort, learn, learnFromFailure, UNKNOWN_MS, type Estimate, type Estimates } from './estimates.ts';
import { SHORT_BUSY_TIMEOUT_MS } from './pragmas.ts';
import { interrupted, NativeCalls, type Callback } from './sqlite3-calls.ts';
import { bindable, isHeavy, NO_VALUES } from './sqlite3-values.ts';
import { StatementCache } from './statement-cache.ts';
import type { ThreadCall, ThreadUser } from './threads.ts';

/** What this driver uses of the sqlite3 package, so that its types are not needed. */
export interface Sqlite3Database {
  prepare(sql: string, callback: Callback): Sqlite3Statement;
  exec(sql: string, callback: Callback): unknown;
  interrupt(): void;
  configure(option: 'busyTimeout', milliseconds: number): void;
  close(callback: Callback): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A prepared statement of the sqlite3 package. */
export interface Sqlite3Statement {
  all(params: readonly Value[], callback: (this: unknown, error: Error | null, rows: Row[]) => void): unknown;
  run(
    params: readonly Value[],
    callback: (this: { changes: number; lastID: number }, error: Error | null) => void,
  ): unknown;
  get(params: readonly Value[], callback: (this: unknown, error: Error | null, row?: Row) => void): unknown;
  finalize(callback?: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A statement that nobody described is part of an open or a close: it may do anything, and must not wait for queries. */
const UNDESCRIBED: ExecuteHint = {
  rowMode: 'object',
  readonly: false,
  returnsRows: true,
  effect: 'insert',
  urgency: 'control',
};

/** A statement, and how long it takes. */
interface Prepared {
  readonly statement: Sqlite3Statement;
  readonly estimate: Estimate;
}

/** What to do with the statement of a text, and whom to tell. */
interface Job<T> {
  readonly sql: string;
  readonly params: readonly Value[];
  readonly start: (statement: Sqlite3Statement, callback: Callback<T>) => void;
  readonly done: (value: T) => void;
  readonly fail: (error: unknown) => void;
}

const NO_NAMES: readonly string[] = [];

/** How a handle is used. */
export interface Sqlite3Settings {
  readonly statementCacheSize: number;
  /** Whether its busy timeout is the short one that the pool has set: it is too short for a script. */
  readonly waitsBriefly: boolean;
  /** What is known of the statements of all handles of a pool. */
  readonly estimates: Estimates;
}

/** A script waits as long as this for the lock of another process, at each of its statements, in milliseconds. */
const SCRIPT_BUSY_TIMEOUT_MS = 5000;

/**
 * One handle of the sqlite3 package. The pool makes one call at a time, which this package needs: parallel calls on one
 * handle each block a thread of libuv, and `finalize` blocks the event loop beside a running call.
 */
export class Sqlite3Connection implements Connection {
  readonly #database: Sqlite3Database;
  readonly #waitsBriefly: boolean;
  readonly #prepareNative: Sqlite3Database['prepare'];
  readonly #statements: StatementCache<Prepared>;
  readonly #estimates: Estimates;
  readonly #calls = new NativeCalls();
  /** Statements that a user prepared on the raw handle: the close finalizes those that were forgotten. */
  #foreign: Set<Sqlite3Statement> | undefined;
  /** Whether the call under way was interrupted: it makes no further step. */
  #interrupted = false;
  /** An error that belongs to no call: the handle cannot be trusted any more. */
  #stray: Error | undefined;

  constructor(database: Sqlite3Database, { statementCacheSize, waitsBriefly, estimates }: Sqlite3Settings) {
    this.#database = database;
    this.#waitsBriefly = waitsBriefly;
    this.#estimates = estimates;
    this.#prepareNative = database.prepare.bind(database);
    this.#statements = new StatementCache(statementCacheSize, ({ statement }) => void statement.finalize());
    // Without a listener the event would end the process.
    database.on('error', (error) => (this.#stray = error));
  }

  /** Whether the handle can no longer be trusted. */
  get broken(): boolean {
    return this.#stray !== undefined;
  }

  /** The handle itself. From the first use on, it remembers what is prepared on it. */
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
    this.#interrupted = false;
    return hint.rowMode === 'array'
      ? this.#executeArrays(sql, params, hint)
      : this.#execute(sql, params, hint);
  }

  async rollback(): Promise<void> {
    try {
      await this.exec('ROLLBACK');
    } catch (error) {
      // The package does not say whether a transaction is open; SQLite does, in this message.
      if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error;
    }
  }

  /** `sqlite3_close` refuses while statements exist, so they go first. */
  async close(): Promise<void> {
    this.#statements.clear();
    // With a callback: without one, a statement that was finalized already would emit an error.
    for (const statement of this.#foreign ?? []) statement.finalize(() => undefined);
    try {
      await this.#calls.run({ ms: 0 }, 'writer', (callback) => {
        this.#database.close(callback);
      });
    } catch (error) {
      process.emitWarning(
        'A connection could not be closed and stays open: something made on its raw handle still runs, a backup for example.',
        {
          type: 'SqlitePoolWarning',
          code: 'SQLITE_POOL_LEAK',
        },
      );
      throw error;
    } finally {
      this.#calls.quit();
    }
  }

  /**
   * A script that met a lock cannot be tried again from its middle, so SQLite itself has to wait for longer. A text that
   * sets the busy timeout has its own.
   */
  async script(sql: string): Promise<void> {
    if (!this.#waitsBriefly || /busy_timeout/i.test(sql)) {
      await this.#exec(sql, UNKNOWN_MS);
      return;
    }
    // Not by PRAGMA, which an interrupt that outlives the script could keep from being run. It takes the handle's mutex on
    // this thread, and no call runs on the handle now.
    this.#database.configure('busyTimeout', SCRIPT_BUSY_TIMEOUT_MS);
    try {
      await this.#exec(sql, UNKNOWN_MS);
    } finally {
      this.#database.configure('busyTimeout', SHORT_BUSY_TIMEOUT_MS);
    }
  }

  /** Runs a text of the pool's own as it is, without a slot: an open must not wait behind the queries of others. */
  exec(sql: string): Promise<void> {
    return this.#exec(sql, 0);
  }

  /** A statement of its own: one from the cache could be in use by the loop's own body. */
  async *iterate(sql: string, params: readonly Value[]): AsyncGenerator<Row, void, undefined> {
    this.#interrupted = false;
    const statement = await this.#calls.run<Sqlite3Statement>({ ms: UNKNOWN_MS }, 'reader', (callback) => {
      this.#prepare(sql, callback);
    });
    const estimate: Estimate = { ms: UNKNOWN_MS };
    const step = (values: readonly Value[]): Promise<Row | undefined> =>
      this.#calls.run(estimate, 'reader', (callback) => {
        statement.get(values, callback);
      });
    try {
      let row = await step(bindable(params));
      while (row !== undefined) {
        yield row;
        // Without parameters `get` steps on; after the last row it answers `undefined`.
        row = await step(NO_VALUES);
      }
    } finally {
      statement.finalize();
    }
  }

  interrupt(): void {
    this.#interrupted = true;
    this.#calls.interrupt();
    try {
      this.#database.interrupt();
    } catch {
      // It throws when the handle is closing or closed: there is nothing left to interrupt.
    }
  }

  #execute(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    if (!hint.returnsRows) return this.#run(sql, params, hint);
    // `all`, never `get`: it steps to the end, so that the commit of an INSERT … RETURNING is done and reported, and no
    // read stays open. `get` acknowledges before the commit and discards its error.
    const done = this.#withStatement<Result>(sql, params, hint, (statement, callback) => {
      statement.all(bindable(params), (error, rows) => {
        callback(error, error === null ? result(rows, 0, 0) : undefined);
      });
    });
    if (hint.readonly || hint.effect === 'none') return done;
    return done.then(({ rows }) => this.#withChanges(rows, hint));
  }

  async #run(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    const done = await this.#withStatement<Result>(sql, params, hint, (statement, callback) => {
      statement.run(bindable(params), function (error) {
        // SQLite keeps both counts from an earlier statement, perhaps of another user, when this one changed nothing.
        const changes = hint.effect === 'none' ? 0 : this.changes;
        callback(error, result([], changes, hint.effect === 'insert' && changes > 0 ? this.lastID : 0));
      });
    });
    return Number.isSafeInteger(done.lastInsertRowid) ? done : await this.#withChanges([], hint);
  }

  /** Starts one call on the statement of a text: with one promise, and at once if it is known to be short. */
  #withStatement<T>(
    sql: string,
    params: readonly Value[],
    hint: ExecuteHint,
    start: Job<T>['start'],
  ): Promise<T> {
    return new Promise<T>((done, fail) => {
      const job: Job<T> = { sql, params, start, done, fail };
      const kept = this.#statements.take(sql);
      const user = userOf(hint);
      const needsNoSlot = hint.urgency === 'control' || isShort(kept?.estimate ?? this.#estimates.of(sql));
      if (needsNoSlot && this.#calls.goesAtOnce(user)) {
        this.#begin(job, kept, this.#calls.short(user));
        return;
      }
      const begin = (call: ThreadCall): void => {
        this.#begin(job, kept, call);
      };
      const giveUp = (error: unknown): void => {
        if (kept !== undefined) this.#statements.give(sql, kept);
        job.fail(error);
      };
      if (needsNoSlot) this.#calls.together(user, begin, giveUp);
      else this.#calls.whenThereIsASlot(user, begin, giveUp);
    });
  }

  #begin<T>(job: Job<T>, kept: Prepared | undefined, call: ThreadCall): void {
    if (kept !== undefined) {
      this.#use(job, kept, call);
      return;
    }
    this.#prepare(job.sql, (error, statement) => {
      if (statement !== undefined) this.#use(job, { statement, estimate: this.#estimates.of(job.sql) }, call);
      else {
        this.#calls.end(call);
        job.fail(error);
      }
    });
  }

  #use<T>({ sql, params, start, done, fail }: Job<T>, prepared: Prepared, call: ThreadCall): void {
    const failed = (error: unknown): void => {
      learnFromFailure(prepared.estimate, this.#calls.end(call));
      // A statement that met SQLITE_BUSY stays active and keeps every later COMMIT from succeeding.
      this.#statements.drop(sql, prepared);
      fail(error);
    };
    this.#calls.sent(call);
    try {
      start(prepared.statement, (error, value) => {
        if (error !== null) {
          failed(error);
          return;
        }
        learn(prepared.estimate, this.#calls.end(call));
        if (isHeavy(params)) this.#statements.drop(sql, prepared);
        else this.#statements.give(sql, prepared);
        done(value as T);
      });
    } catch (error) {
      failed(error);
    }
  }

  #exec(sql: string, estimateMs: number): Promise<void> {
    return this.#calls.run({ ms: estimateMs }, 'writer', (callback) => {
      this.#database.exec(sql, callback);
    });
  }

  #rows(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Row[]> {
    return this.#withStatement(sql, params, hint, (statement, callback) => {
      statement.all(bindable(params), callback);
    });
  }

  #prepare(sql: string, callback: Callback<Sqlite3Statement>): void {
    const statement = this.#prepareNative(sql, (error) => {
      if (error !== null) callback(error);
      else if (this.#interrupted) {
        // There was nothing to interrupt yet; a statement that does not begin has no effect either.
        statement.finalize();
        callback(interrupted());
      } else callback(null, statement);
    });
    statement.on('error', (error) => (this.#stray = error));
  }

  async #withChanges(rows: Row[], { effect }: ExecuteHint): Promise<Result> {
    const [counts] = await this.#rows(COUNTS, NO_VALUES, UNDESCRIBED);
    const { changes, rowid } = counts as { changes: number; rowid: string };
    return result(rows, changes, effect === 'insert' && changes > 0 ? toInteger(rowid) : 0);
  }

  /**
   * Rows as arrays. The package makes an object of each row, in which the last of two columns with one name wins; but
   * inside a subquery SQLite calls the second "id" "id:1", so that no value is lost.
   */
  async #executeArrays(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    const isQuery = hint.readonly && /^(?:select|with|values)\b/i.test(sql);
    const text = isQuery ? `SELECT * FROM (${sql}\n)` : sql;
    const { rows, changes, lastInsertRowid } = await this.execute(text, params, {
      ...hint,
      rowMode: 'object',
    });
    let names = Object.keys(rows[0] ?? {});
    if (isQuery && (names[0] === undefined || isIndex(names[0])))
      names = await this.#columnsOf(sql, params, hint);
    const arrays = rows.map((row) => names.map((name) => row[name]));
    // The contract has one type for rows; who asked for arrays knows that these are.
    return { rows: arrays as unknown as Row[], columns: names.map(originalName), changes, lastInsertRowid };
  }

  /**
   * The names of a query's columns, in order, when its rows do not tell: there are none, or a name is a number, which
   * JavaScript puts before the others. `LIMIT 0` keeps the query from running.
   */
  async #columnsOf(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<string[]> {
    const none = `SELECT * FROM (${sql}\n) LIMIT 0`;
    const rowOf = async (text: string): Promise<Row> => {
      const [row] = await this.#rows(text, params, hint);
      return { ...row };
    };
    const width =
      Object.keys(await rowOf(`SELECT * FROM (SELECT 1 AS sqlite_pool) LEFT JOIN (${none}) ON 0`)).length - 1;
    const positions = Array.from({ length: width }, (_, at) => String(at)).join(', ');
    const row = await rowOf(`SELECT * FROM (${none}) UNION ALL VALUES (${positions})`);
    return Object.keys(row).sort((a, b) => Number(row[a]) - Number(row[b]));
  }
}

/** The rowid as text, because the package rounds integers beyond 2^53. */
const COUNTS = 'SELECT changes() AS changes, CAST(last_insert_rowid() AS TEXT) AS rowid';

/** Whether JavaScript takes a name for an index: those keys of an object come first, in their own order. */
function isIndex(name: string): boolean {
  return /^\d+$/.test(name);
}

/** The name before SQLite made it different from an earlier one. */
function originalName(name: string, at: number, names: readonly string[]): string {
  const original = name.replace(/:\d+$/, '');
  return names.slice(0, at).some((earlier) => earlier.toLowerCase() === original.toLowerCase())
    ? original
    : name;
}

function result(rows: Row[], changes: number, lastInsertRowid: number | bigint): Result {
  return { rows, columns: rows[0] === undefined ? NO_NAMES : Object.keys(rows[0]), changes, lastInsertRowid };
}

function userOf({ urgency, readonly }: ExecuteHint): ThreadUser {
  return urgency === 'reader' || (urgency === undefined && readonly) ? 'reader' : 'writer';
}
