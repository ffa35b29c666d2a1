import type { Result, Row } from '../driver.ts';
import type { Params } from './parameters.ts';

/**
 * The time limit of a call, and the signal that cancels it.
 *
 * @example await db.all(sql, [], { timeoutMs: 200, signal: AbortSignal.timeout(500) });
 */
export interface QueryOptions {
  /** Cancels the call: its wait, or its running statement, which SQLite interrupts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * The time limit in milliseconds; `Infinity` for none. It begins when the call has its connection, and includes the
   * wait for the write lock. Default: the pool's `statementTimeoutMs`.
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * Options of `execute`.
 *
 * @example const { rows } = await db.execute(sql, [], { rowMode: 'array' });
 */
export interface ExecuteOptions extends QueryOptions {
  /** `array` returns each row as an array, which keeps two columns with the same name. Default: `object`. */
  readonly rowMode?: 'object' | 'array' | undefined;
}

/**
 * How a transaction begins (https://www.sqlite.org/lang_transaction.html). `immediate`, the default, takes the write
 * lock at once. `deferred` only reads until its first write, and that write can fail with `SQLITE_BUSY_SNAPSHOT`.
 *
 * @example await db.transaction(report, { mode: 'deferred' });
 */
export type TransactionMode = 'immediate' | 'deferred' | 'exclusive';

/**
 * Options of `transaction`. The time limit is for the whole transaction. A nested transaction refuses `mode` and
 * `retries`.
 *
 * @example await db.transaction(transfer, { mode: 'deferred', retries: 3, timeoutMs: 5000 });
 */
export interface TransactionOptions extends QueryOptions {
  /** Default: `immediate`. A nested transaction is a savepoint and has no mode. */
  readonly mode?: TransactionMode | undefined;
  /**
   * How often to run `fn` again from its start when a deferred transaction met `SQLITE_BUSY_SNAPSHOT`. `fn` must have
   * no effects outside the database. Default: 0.
   */
  readonly retries?: number | undefined;
}

/**
 * The result of a statement that changes rows.
 *
 * @example const { changes, lastInsertRowid }: RunResult = await db.run('INSERT INTO users (name) VALUES (?)', ['Ada']);
 */
export interface RunResult {
  /** The number of rows that the statement inserted, updated or deleted. */
  readonly changes: number;
  /**
   * The rowid of the newest inserted row on this connection. It belongs to an older insert after an UPSERT that updated
   * a row, and after an INSERT into a `WITHOUT ROWID` table.
   */
  readonly lastInsertRowid: number | bigint;
}

/**
 * The query methods. They are the same on the pool, a lease, a transaction and a request's `db`.
 *
 * Every method rejects
 *
 * - with `InvalidArgumentError` before it calls SQLite;
 * - with `SqliteError` or `BusyError` when SQLite refuses the statement;
 * - with `StatementTimeoutError` at its `timeoutMs`, or with the reason of its `signal`;
 * - with `OutcomeUnknownError` when the pool does not know whether a write outside a transaction was done.
 *
 * On the pool and on a request's `db`, the methods also reject as `acquire` does. On a handle that has ended, they
 * reject with `LeaseEndedError`. On a handle with a transaction inside it, they reject with `TransactionActiveError`.
 *
 * @example const count = (db: Queryable) => db.get<{ n: number }>('SELECT count(*) AS n FROM users');
 */
export interface Queryable {
  /**
   * Runs one statement and resolves to the full result.
   * @example const { rows, columns } = await db.execute('SELECT a.id, b.id FROM a, b', [], { rowMode: 'array' });
   */
  execute(
    sql: string,
    params: Params | undefined,
    options: ExecuteOptions & { readonly rowMode: 'array' },
  ): Promise<Result<unknown[]>>;
  execute<R = Row>(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<R>>;
  /**
   * Resolves to the first row, or to `undefined`. It asks SQLite for one row only.
   * @example const user = await db.get<User>('SELECT * FROM users WHERE id = ?', [1]);
   */
  get<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R | undefined>;
  /**
   * Resolves to all rows.
   * @example const users = await db.all<User>('SELECT * FROM users WHERE age > :age', { age: 30 });
   */
  all<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R[]>;
  /**
   * Runs a statement for its effect.
   * @example const { changes } = await db.run('DELETE FROM users WHERE id = ?', [1]);
   */
  run(sql: string, params?: Params, options?: QueryOptions): Promise<RunResult>;
  /**
   * Runs several statements in one transaction, all or nothing, and resolves to the result of each. No other call uses
   * the connection in the meantime. Inside a transaction, the batch is a savepoint. If all statements read, they see
   * one state of the database and wait for no writer. `timeoutMs` is for the whole batch. Rejects with the error of the
   * statement that failed.
   * @example
   * const [inserted] = await db.batch([
   *   ['INSERT INTO users (name) VALUES (?) RETURNING id', ['Ada']],
   *   'UPDATE counters SET users = users + 1',
   * ]);
   */
  batch(statements: readonly BatchStatement[], options?: QueryOptions): Promise<Result[]>;
  /**
   * Steps through the rows one at a time, as fast as the loop takes them. The loop keeps its connection until it ends.
   * A write on the same connection rejects with `BusyError` if another connection has written since the loop began. For
   * a statement that writes, the method throws `InvalidArgumentError` at once. The loop rejects with the other errors,
   * and with `UnsupportedError` if the connection has no cursors.
   * @example for await (const user of db.iterate<User>('SELECT * FROM users')) await send(user);
   */
  iterate<R = Row>(sql: string, params?: Params, options?: QueryOptions): AsyncIterableIterator<R>;
  /**
   * Runs several statements without parameters. If one fails, or the call is cancelled, the pool rolls back a
   * transaction that the script has opened. Rejects with `UnsupportedError` if the connection cannot run scripts.
   * @example await db.script('CREATE TABLE a (x); CREATE TABLE b (y);');
   */
  script(sql: string, options?: QueryOptions): Promise<void>;
  /**
   * Runs `fn` in a transaction. Commits when `fn` resolves. When `fn` rejects, rolls back and rejects with the same
   * value. Only calls on the given `tx` are part of the transaction. Inside a transaction, it is a savepoint. Rejects
   * with `TransactionLostError` if SQLite has rolled the transaction back by itself, with `TransactionActiveError` if
   * the connection has another transaction, and with `OutcomeUnknownError` if the COMMIT took longer than
   * `operationTimeoutMs`.
   * @example
   * await db.transaction(async (tx) => {
   *   await tx.run('UPDATE accounts SET cents = cents - ? WHERE id = ?', [100, 1]);
   *   await tx.run('UPDATE accounts SET cents = cents + ? WHERE id = ?', [100, 2]);
   * });
   */
  transaction<T>(fn: (tx: Queryable) => T | Promise<T>, options?: TransactionOptions): Promise<T>;
}

/**
 * One statement of a `batch`: its text, or its text and its parameters.
 *
 * @example const statement: BatchStatement = ['INSERT INTO users (name) VALUES (?)', ['Ada']];
 */
export type BatchStatement = string | readonly [sql: string, params?: Params];
