import { type Connection, type ExecuteHint, type Result, type Row, type Value } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import { StatementCache } from './statement-cache.ts';

type Callback = (error: Error | null) => void;

/** What this driver uses of the sqlite3 package, so that its types are not needed. */
export interface Sqlite3Database {
  prepare(sql: string, callback: Callback): Sqlite3Statement;
  exec(sql: string, callback: Callback): unknown;
  interrupt(): void;
  close(callback: Callback): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A prepared statement of the sqlite3 package. */
export interface Sqlite3Statement {
  all(params: readonly Value[], callback: (this: unknown, error: Error | null, rows: Row[]) => void): unknown;
  run(params: readonly Value[], callback: (this: { changes: number; lastID: number }, error: Error | null) => void): unknown;
  get(params: readonly Value[], callback: (this: unknown, error: Error | null, row?: Row) => void): unknown;
  finalize(callback?: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
}

/** A statement that nobody described: it may write, and it may return rows. */
const UNDESCRIBED: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: true, effect: 'insert' };

const NO_ROWS: readonly string[] = [];

/**
 * One handle of the sqlite3 package. The pool makes one call at a time, which this package needs: parallel calls on one
 * handle each block a thread of libuv, and `finalize` blocks the event loop beside a running call.
 */
export class Sqlite3Connection implements Connection {
  readonly raw: Sqlite3Database;
  readonly #statements: StatementCache<Sqlite3Statement>;
  /** An error that belongs to no call: the handle cannot be trusted any more. */
  #stray: Error | undefined;

  constructor(database: Sqlite3Database, statementCacheSize: number) {
    this.raw = database;
    this.#statements = new StatementCache(statementCacheSize, (statement) => void statement.finalize());
    // Without a listener the event would end the process.
    database.on('error', (error) => (this.#stray = error));
  }

  async execute(sql: string, params: readonly Value[] = [], hint: ExecuteHint = UNDESCRIBED): Promise<Result> {
    if (hint.rowMode === 'array') return await this.#executeArrays(sql, params, hint);
    const values = bindable(params);
    if (!hint.returnsRows) return await this.#withStatement(sql, (statement) => run(statement, values, hint));
    // `all`, never `get`: it steps to the end, so that the commit of an INSERT … RETURNING is done and reported, and no
    // read stays open. `get` acknowledges before the commit and discards its error.
    const rows = await this.#withStatement(sql, (statement) => all(statement, values));
    return hint.readonly || hint.effect === 'none' ? new RowsResult(rows, 0, 0) : await this.#withChanges(rows);
  }

  async rollback(): Promise<void> {
    try {
      await this.script('ROLLBACK');
    } catch (error) {
      // The package does not say whether a transaction is open; SQLite does, in this message.
      if (!(error instanceof Error && error.message.includes('no transaction is active'))) throw error;
    }
  }

  /** `sqlite3_close` refuses while statements exist, so they go first. */
  close(): Promise<void> {
    this.#statements.clear();
    return new Promise((done, fail) => {
      this.raw.close(settle(done, fail));
    });
  }

  script(sql: string): Promise<void> {
    return new Promise((done, fail) => {
      if (this.#stray !== undefined) fail(this.#stray);
      else this.raw.exec(sql, settle(done, fail));
    });
  }

  /** A statement of its own: one from the cache could be in use by the loop's own body. */
  async *iterate(sql: string, params: readonly Value[]): AsyncGenerator<Row, void, undefined> {
    const statement = await this.#prepare(sql);
    try {
      let row = await get(statement, bindable(params));
      while (row !== undefined) {
        yield row;
        // Without parameters `get` steps on; after the last row it answers `undefined`.
        row = await get(statement, NO_VALUES);
      }
    } finally {
      statement.finalize();
    }
  }

  interrupt(): void {
    try {
      this.raw.interrupt();
    } catch {
      // It throws when the handle is closing or closed: there is nothing left to interrupt.
    }
  }

  async #withStatement<T>(sql: string, use: (statement: Sqlite3Statement) => Promise<T>): Promise<T> {
    const statement = this.#statements.take(sql) ?? (await this.#prepare(sql));
    let result: T;
    try {
      result = await use(statement);
    } catch (error) {
      // A statement that met SQLITE_BUSY stays active and keeps every later COMMIT from succeeding.
      statement.finalize();
      throw error;
    }
    this.#statements.give(sql, statement);
    return result;
  }

  #prepare(sql: string): Promise<Sqlite3Statement> {
    return new Promise((done, fail) => {
      if (this.#stray !== undefined) {
        fail(this.#stray);
        return;
      }
      const statement = this.raw.prepare(sql, (error) => {
        if (error === null) done(statement);
        else fail(error);
      });
      statement.on('error', (error) => (this.#stray = error));
    });
  }

  async #withChanges(rows: Row[]): Promise<Result> {
    const [row] = await this.#withStatement('SELECT changes() AS changes, last_insert_rowid() AS rowid', (statement) => all(statement, NO_VALUES));
    const { changes, rowid } = row as { changes: number; rowid: number };
    return new RowsResult(rows, changes, rowid);
  }

  /**
   * Rows as arrays. The package makes an object of each row, in which the last of two columns with one name wins; so a
   * query is given columns with names of our own first.
   */
  async #executeArrays(sql: string, params: readonly Value[], hint: ExecuteHint): Promise<Result> {
    const objects: ExecuteHint = { ...hint, rowMode: 'object' };
    if (!hint.readonly || !/^(?:select|with|values)\b/i.test(sql)) {
      const { rows, columns, changes, lastInsertRowid } = await this.execute(sql, params, objects);
      return { rows: rows.map((row) => Object.values(row)) as unknown as Row[], columns, changes, lastInsertRowid };
    }
    const columns = await this.#columnsOf(sql);
    const renamed = `WITH sqlite_pool(${columns.map((_, at) => `c${String(at)}`).join(', ')}) AS (${sql}) SELECT * FROM sqlite_pool`;
    const { rows } = await this.execute(renamed, params, objects);
    return { rows: rows.map((row) => Object.values(row)) as unknown as Row[], columns, changes: 0, lastInsertRowid: 0 };
  }

  /** The names of a query's columns, which the package does not tell: those of a row of NULLs with the same shape. */
  async #columnsOf(sql: string): Promise<string[]> {
    const shape = `SELECT * FROM (SELECT 1 AS sqlite_pool) LEFT JOIN (${sql}) ON 0`;
    const [row] = await this.#withStatement(shape, (statement) => all(statement, NO_VALUES));
    const names: string[] = [];
    for (const name of Object.keys(row ?? {}).slice(1)) {
      // In a subquery the second column "id" is called "id:1".
      const original = name.replace(/:\d+$/, '');
      names.push(names.includes(original) ? original : name);
    }
    return names;
  }
}

const NO_VALUES: readonly Value[] = [];

/** The names of the columns are worked out only when someone asks. */
class RowsResult implements Result {
  readonly rows: Row[];
  readonly changes: number;
  readonly lastInsertRowid: number;

  constructor(rows: Row[], changes: number, lastInsertRowid: number) {
    this.rows = rows;
    this.changes = changes;
    this.lastInsertRowid = lastInsertRowid;
  }

  get columns(): readonly string[] {
    return this.rows[0] === undefined ? NO_ROWS : Object.keys(this.rows[0]);
  }
}

function settle(done: () => void, fail: (error: Error) => void): Callback {
  return (error) => {
    if (error === null) done();
    else fail(error);
  };
}

function all(statement: Sqlite3Statement, values: readonly Value[]): Promise<Row[]> {
  return new Promise((done, fail) => {
    statement.all(values, (error, rows) => {
      if (error === null) done(rows);
      else fail(error);
    });
  });
}

function get(statement: Sqlite3Statement, values: readonly Value[]): Promise<Row | undefined> {
  return new Promise((done, fail) => {
    statement.get(values, (error, row) => {
      if (error === null) done(row);
      else fail(error);
    });
  });
}

function run(statement: Sqlite3Statement, values: readonly Value[], { effect }: ExecuteHint): Promise<Result> {
  return new Promise((done, fail) => {
    statement.run(values, function (error) {
      if (error !== null) {
        fail(error);
        return;
      }
      // SQLite keeps both counts from an earlier statement, perhaps of another user, when this one changed nothing.
      const changes = effect === 'none' ? 0 : this.changes;
      const lastInsertRowid = effect === 'insert' && changes > 0 ? this.lastID : 0;
      done({ rows: [], columns: NO_ROWS, changes, lastInsertRowid });
    });
  });
}

/** The package binds an unknown type as NULL, BigInt among them, and takes bytes only as a Buffer. */
function bindable(params: readonly Value[]): readonly Value[] {
  return params.some((value) => typeof value === 'bigint' || (typeof value === 'object' && value !== null)) ? params.map(toBindable) : params;
}

function toBindable(value: Value): Value {
  if (typeof value === 'bigint') {
    if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    throw new InvalidArgumentError(
      'The sqlite3 driver cannot bind an integer beyond 2^53. Bind it as a string and write CAST(? AS INTEGER) in the SQL.',
    );
  }
  if (typeof value !== 'object' || value === null) return value;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
