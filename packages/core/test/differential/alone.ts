import { DatabaseSync } from 'node:sqlite';
import sqlite3 from 'sqlite3';
import {
  TransactionActiveError,
  TransactionLostError,
  type BatchStatement,
  type Queryable,
  type Result,
  type Row,
  type RunResult,
  type TransactionOptions,
} from '../../src/index.ts';
import { reads, type ProgramOptions } from './program.ts';

/** Makes errors carry the extended result code. https://www.sqlite.org/c3ref/open.html */
const EXTENDED_CODES = 0x02000000;
const BEGIN = { immediate: 'BEGIN IMMEDIATE', deferred: 'BEGIN', exclusive: 'BEGIN EXCLUSIVE' } as const;

/** One database handle, on which statements run as they are. */
export interface Handle {
  all(sql: string, params?: readonly unknown[]): Promise<Row[]>;
  exec(sql: string): Promise<void>;
  close(): Promise<void>;
}

/** A handle of the SQLite that a program's pool runs on: not every version of SQLite does the same. */
export async function openHandle(filename: string, driver: ProgramOptions['driver']): Promise<Handle> {
  return driver === 'node:sqlite' ? new NodeHandle(filename) : await Sqlite3Handle.open(filename);
}

/** One handle of node:sqlite, on this thread. */
class NodeHandle implements Handle {
  readonly #database: DatabaseSync;

  constructor(filename: string) {
    this.#database = new DatabaseSync(filename);
  }

  all(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    return new Promise((done) => {
      const statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      // It binds a number as REAL.
      const values = params.map((value) => (Number.isInteger(value) ? BigInt(value as number) : value));
      done(statement.all(...(values as never[])).map((row) => ({ ...row })));
    });
  }

  exec(sql: string): Promise<void> {
    return new Promise((done) => {
      this.#database.exec(sql);
      done();
    });
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }
}

/** One handle of the sqlite3 package, with promises. */
class Sqlite3Handle implements Handle {
  readonly #database: sqlite3.Database;

  private constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  static async open(filename: string): Promise<Sqlite3Handle> {
    const mode = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE | sqlite3.OPEN_FULLMUTEX | EXTENDED_CODES;
    const database = await settled<sqlite3.Database>((done) => {
      const opened = new sqlite3.Database(filename, mode, (error) => done(error, opened));
    });
    return new Sqlite3Handle(database);
  }

  all(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    return settled<Row[]>((done) => this.#database.all<Row>(sql, params, done));
  }

  exec(sql: string): Promise<void> {
    return settled<undefined>((done) => this.#database.exec(sql, (error) => done(error, undefined)));
  }

  close(): Promise<void> {
    return settled<undefined>((done) => {
      this.#database.close((error) => done(error, undefined));
    });
  }
}

type Done<T> = (error: Error | null, value: T) => void;

function settled<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => {
      if (error === null) resolve(value);
      else reject(error);
    });
  });
}

/**
 * What the pool is compared with: one handle on which every statement runs alone, one after the other, with what the docs say of
 * transactions, batches and scripts done in the plainest way.
 */
export class Alone implements Queryable {
  readonly #handle: Handle;
  /** `lost`: SQLite has rolled back by itself, and nobody has said ROLLBACK since. */
  #transaction: 'none' | 'open' | 'lost' = 'none';
  /** How many transactions are open inside one another. */
  #depth = 0;
  /** Calls made at the same time run in order. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(handle: Handle) {
    this.#handle = handle;
  }

  async execute(
    sql: string,
    params?: unknown,
    options?: { readonly rowMode?: unknown },
  ): Promise<Result<never>> {
    const result = await this.#inOrder(() => this.#execute(sql, params as readonly unknown[]));
    if (options?.rowMode !== 'array') return result as Result<never>;
    return { ...result, rows: result.rows.map((row) => Object.values(row)) as never[] };
  }

  async get<R = Row>(sql: string, params?: unknown): Promise<R | undefined> {
    const { rows } = await this.execute(sql.startsWith('SELECT') ? `${sql} LIMIT 1` : sql, params);
    return rows[0];
  }

  async all<R = Row>(sql: string, params?: unknown): Promise<R[]> {
    return (await this.execute(sql, params)).rows;
  }

  async run(sql: string, params?: unknown): Promise<RunResult> {
    return await this.execute(sql, params);
  }

  batch(statements: readonly BatchStatement[]): Promise<Result[]> {
    return this.#inOrder(async () => {
      const all = statements as readonly [sql: string, params: unknown[]][];
      if (this.#transaction !== 'none') return await this.#inside('a_batch', () => this.#each(all));
      const isRead = all.every(([sql]) => reads({ sql }));
      return await this.#whole(isRead ? 'BEGIN' : 'BEGIN IMMEDIATE', () => this.#each(all));
    });
  }

  script(sql: string): Promise<void> {
    return this.#inOrder(async () => {
      this.#refuseIfLost();
      const before = this.#transaction;
      try {
        await this.#handle.exec(sql);
        this.#transaction = (await this.#isInTransaction()) ? 'open' : 'none';
      } catch (error) {
        const isInside = await this.#isInTransaction();
        if (before === 'open' && !isInside) this.#transaction = 'lost';
        if (before === 'none' && isInside) await this.#handle.exec('ROLLBACK');
        throw error;
      }
    });
  }

  async *iterate<R = Row>(sql: string, params?: unknown): AsyncGenerator<R, void, undefined> {
    yield* await this.all<R>(sql, params);
  }

  async transaction<T>(
    fn: (tx: Queryable) => T | Promise<T>,
    { mode = 'immediate' }: TransactionOptions = {},
  ): Promise<T> {
    this.#depth += 1;
    try {
      if (this.#depth > 1) return await this.#inside(`nested_${String(this.#depth)}`, () => fn(this));
      if (this.#transaction !== 'none') throw new TransactionActiveError();
      return await this.#whole(BEGIN[mode], () => fn(this));
    } finally {
      this.#depth -= 1;
    }
  }

  /** Reads the schema again. SQLite does not, where only the table that a trigger needs was made by another connection. */
  async refresh(): Promise<void> {
    if (this.#transaction === 'none') await this.#handle.all('SELECT count(*) FROM sqlite_schema');
  }

  /** What the pool does with a connection that comes back. */
  async release(): Promise<void> {
    if (this.#transaction === 'open') await this.#handle.exec('ROLLBACK');
    this.#transaction = 'none';
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #whole<T>(begin: string, work: () => T | Promise<T>): Promise<T> {
    await this.#execute(begin);
    try {
      const value = await work();
      await this.#execute('COMMIT');
      return value;
    } catch (error) {
      await this.release();
      throw error;
    }
  }

  async #inside<T>(savepoint: string, work: () => T | Promise<T>): Promise<T> {
    await this.#execute(`SAVEPOINT ${savepoint}`);
    try {
      const value = await work();
      await this.#execute(`RELEASE ${savepoint}`);
      return value;
    } catch (error) {
      if (this.#transaction === 'open')
        await this.#handle.exec(`ROLLBACK TO ${savepoint}; RELEASE ${savepoint}`);
      throw error;
    }
  }

  async #each(statements: readonly [sql: string, params: unknown[]][]): Promise<Result[]> {
    const results: Result[] = [];
    for (const [sql, params] of statements) results.push(await this.#execute(sql, params));
    return results;
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #execute(sql: string, params: readonly unknown[] = []): Promise<Result> {
    if (/^ROLLBACK\b(?!.* TO )/.test(sql) && this.#transaction === 'lost') {
      this.#transaction = 'none';
      return { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
    }
    this.#refuseIfLost();
    try {
      const rows = await this.#handle.all(sql, params);
      if (/^(?:BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b/.test(sql))
        this.#transaction = (await this.#isInTransaction()) ? 'open' : 'none';
      return await this.#result(sql, rows);
    } catch (error) {
      if (this.#transaction === 'open' && !(await this.#isInTransaction())) this.#transaction = 'lost';
      throw error;
    }
  }

  async #result(sql: string, rows: Row[]): Promise<Result> {
    const columns = Object.keys(rows[0] ?? {});
    const [effect] = /^(?:INSERT|REPLACE|UPDATE|DELETE)\b/.exec(sql) ?? [];
    if (effect === undefined) return { rows, columns, changes: 0, lastInsertRowid: 0 };
    const [counts] = await this.#handle.all('SELECT changes() AS changes, last_insert_rowid() AS rowid');
    const { changes, rowid } = counts as { changes: number; rowid: number };
    const inserts = /^[IR]/.test(effect) && changes > 0;
    return { rows, columns, changes, lastInsertRowid: inserts ? rowid : 0 };
  }

  #refuseIfLost(): void {
    if (this.#transaction === 'lost') throw new TransactionLostError(undefined);
  }

  /** SQLite refuses a BEGIN inside a transaction. */
  async #isInTransaction(): Promise<boolean> {
    try {
      await this.#handle.exec('BEGIN');
    } catch {
      return true;
    }
    await this.#handle.exec('ROLLBACK');
    return false;
  }
}
