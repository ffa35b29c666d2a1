import type { ExecuteHint, Result, Row, Value } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import { bind, type Params } from './parameters.ts';
import { parse, type Statement } from './sql.ts';

/**
 * How long a call may take, and who may cancel it.
 *
 * @example await db.all(sql, [], { timeoutMs: 200, signal: AbortSignal.timeout(500) });
 */
export interface QueryOptions {
  /** Cancels the call: the wait, or the running statement, which SQLite interrupts. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds from when the call has its connection, its wait for the turn to write included; `Infinity` for no end.
   * Default: the pool's `statementTimeoutMs`.
   */
  readonly timeoutMs?: number | undefined;
}

/**
 * Options of `execute`.
 *
 * @example const { rows } = await db.execute(sql, [], { rowMode: 'array' });
 */
export interface ExecuteOptions extends QueryOptions {
  /** `array` gives rows as arrays, so that two columns of one name both survive. Default: `object`. */
  readonly rowMode?: 'object' | 'array' | undefined;
}

/**
 * How a transaction begins (https://www.sqlite.org/lang_transaction.html). `immediate`, the default, takes the write
 * lock at once. `deferred` only reads until its first write, which can fail with `SQLITE_BUSY_SNAPSHOT`.
 *
 * @example await db.transaction(report, { mode: 'deferred' });
 */
export type TransactionMode = 'immediate' | 'deferred' | 'exclusive';

/**
 * Options of `transaction`; the time is for the whole of it. `mode` and `retries` are refused on a nested one.
 *
 * @example await db.transaction(transfer, { mode: 'deferred', retries: 3, timeoutMs: 5000 });
 */
export interface TransactionOptions extends QueryOptions {
  /** Default: `immediate`. A nested transaction is a savepoint and has no mode. */
  readonly mode?: TransactionMode | undefined;
  /**
   * How often to run `fn` again from its start when a deferred transaction met `SQLITE_BUSY_SNAPSHOT`; it must have no
   * other effects than on the database. Default 0.
   */
  readonly retries?: number | undefined;
}

/**
 * What a statement that changes rows did.
 *
 * @example const { changes, lastInsertRowid }: RunResult = await db.run('INSERT INTO users (name) VALUES (?)', ['Ada']);
 */
export interface RunResult {
  /** How many rows it inserted, changed or deleted. */
  readonly changes: number;
  /**
   * The rowid of the newest inserted row on this connection: of an older one after an UPSERT that updated, or an INSERT
   * into a `WITHOUT ROWID` table.
   */
  readonly lastInsertRowid: number | bigint;
}

/**
 * The query methods, the same on the pool, a lease, a transaction and a request's `db`.
 *
 * Every one rejects with `InvalidArgumentError` before SQLite is asked, `SqliteError` or `BusyError` for what SQLite
 * refused, `StatementTimeoutError` at its `timeoutMs`, or the reason of its `signal`; a write outside a transaction of which it is
 * not known whether it was done with `OutcomeUnknownError`. On the pool and a request's `db` they
 * also reject as `acquire` does; on a handle that has ended with `LeaseEndedError`, on one with a transaction inside it with
 * `TransactionActiveError`.
 *
 * @example const count = (db: Queryable) => db.get<{ n: number }>('SELECT count(*) AS n FROM users');
 */
export interface Queryable {
  /**
   * Runs one statement and resolves to all there is to know of it.
   * @example const { rows, columns } = await db.execute('SELECT a.id, b.id FROM a, b', [], { rowMode: 'array' });
   */
  execute(
    sql: string,
    params: Params | undefined,
    options: ExecuteOptions & { readonly rowMode: 'array' },
  ): Promise<Result<unknown[]>>;
  execute<R = Row>(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<R>>;
  /**
   * Resolves to the first row, or `undefined`. SQLite is asked for one row only.
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
   * Runs several statements in one transaction, all or nothing, and resolves to the result of each. No other
   * call uses the connection meanwhile. Inside a transaction it is a savepoint. If all of them read, they see one state of the database, and wait for no
   * writer. `timeoutMs` is for the whole. Rejects with the error of the statement that failed.
   * @example
   * const [inserted] = await db.batch([
   *   ['INSERT INTO users (name) VALUES (?) RETURNING id', ['Ada']],
   *   'UPDATE counters SET users = users + 1',
   * ]);
   */
  batch(statements: readonly BatchStatement[], options?: QueryOptions): Promise<Result[]>;
  /**
   * Steps through rows one at a time, no faster than they are taken. Its connection stays pinned until the loop ends.
   * A write on that same connection is refused with `BusyError` if somebody else has written since. Throws
   * `InvalidArgumentError` at once for a statement that writes; the loop rejects with the rest, and `UnsupportedError`.
   * @example for await (const user of db.iterate<User>('SELECT * FROM users')) await send(user);
   */
  iterate<R = Row>(sql: string, params?: Params, options?: QueryOptions): AsyncIterableIterator<R>;
  /**
   * Runs several statements, without parameters. If one fails or it is cancelled, a transaction the script has opened is
   * rolled back.
   * Rejects with `UnsupportedError` if the connection has no such ability.
   * @example await db.script('CREATE TABLE a (x); CREATE TABLE b (y);');
   */
  script(sql: string, options?: QueryOptions): Promise<void>;
  /**
   * Runs `fn` in a transaction: commits when it resolves, rolls back and rejects with the same value when it rejects.
   * Only calls on the `tx` it is given are part of it. Inside a transaction it is a savepoint. Rejects with
   * `TransactionLostError` if SQLite has rolled it back by itself, `TransactionActiveError` beside another one on the same
   * connection, and `OutcomeUnknownError` if the COMMIT took longer than `operationTimeoutMs`.
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

/** A checked statement, ready to run. */
export interface Call extends ExecuteOptions {
  readonly statement: Omit<Statement, 'firstRow'>;
  readonly values: readonly Value[];
  /** Who waits for it, if not who the statement says. */
  readonly urgency?: ExecuteHint['urgency'];
  /** Whether the cursor that it opens goes on after the COMMIT of its transaction. */
  readonly outlivesCommit?: boolean;
}

/** Runs a call that another handle has checked already. */
export let performOn: (db: QueryMethods, call: Call) => Promise<Result>;
/** Runs the calls of a batch that another handle has checked already. */
export let performAllOn: (
  db: QueryMethods,
  calls: readonly Call[],
  options: QueryOptions,
) => Promise<Result[]>;
/** Steps through the rows of a call that another handle has checked already. */
export let stepOn: (db: QueryMethods, call: Call) => AsyncIterableIterator<Row>;

/**
 * The query methods over what their owner can do with a checked call. Owners differ only in where the connection
 * comes from: a lease of their own per statement, or the one they stand for.
 */
export abstract class QueryMethods implements Queryable {
  static {
    performOn = (db, call) => db.perform(call);
    stepOn = (db, call) => db.step(call);
    performAllOn = (db, calls, options) => db.performAll(calls, options);
  }

  /** Runs one checked statement. */
  protected abstract perform(call: Call): Promise<Result>;
  /** Runs several checked statements, at least one, all or nothing. */
  protected abstract performAll(calls: readonly Call[], options: QueryOptions): Promise<Result[]>;
  /** Steps through the rows of one checked statement. */
  protected abstract step(call: Call): AsyncIterableIterator<Row>;
  abstract script(sql: string, options?: QueryOptions): Promise<void>;
  abstract transaction<T>(fn: (tx: Queryable) => T | Promise<T>, options?: TransactionOptions): Promise<T>;

  execute(
    sql: string,
    params: Params | undefined,
    options: ExecuteOptions & { readonly rowMode: 'array' },
  ): Promise<Result<unknown[]>>;
  execute<R = Row>(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<R>>;
  async execute(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<unknown>> {
    return await this.perform(check(parse(sql), params, options));
  }

  async get<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R | undefined> {
    const statement = parse(sql);
    const { rows } = await this.perform(check(statement, params, options, statement.firstRow));
    return rows[0] as R | undefined;
  }

  async all<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R[]> {
    const { rows } = await this.perform(check(parse(sql), params, options));
    return rows as R[];
  }

  async run(sql: string, params?: Params, options?: QueryOptions): Promise<RunResult> {
    const { changes, lastInsertRowid } = await this.perform(check(parse(sql), params, options));
    return { changes, lastInsertRowid };
  }

  async batch(statements: readonly BatchStatement[], options: QueryOptions = {}): Promise<Result[]> {
    checkCallOptions(options);
    if (!Array.isArray(statements))
      throw new InvalidArgumentError(
        "batch() takes an array: batch([['DELETE FROM a WHERE id = ?', [1]], 'DELETE FROM b']).",
      );
    const calls = Array.from(statements as readonly BatchStatement[], checkOfBatch);
    return calls.length === 0 ? [] : await this.performAll(calls, options);
  }

  iterate<R = Row>(sql: string, params?: Params, options?: QueryOptions): AsyncIterableIterator<R> {
    const statement = parse(sql);
    if (!statement.readonly || !statement.returnsRows) {
      throw new InvalidArgumentError('iterate() is for statements that only read; use all() or run().');
    }
    return this.step(check(statement, params, options)) as AsyncIterableIterator<R>;
  }
}

/** Checks one statement of a batch, and says which one it is if something is wrong with it. */
function checkOfBatch(given: BatchStatement, at: number): Call {
  try {
    if (typeof given !== 'string' && !Array.isArray(given)) throw new InvalidArgumentError(NO_STATEMENT);
    const [sql, params, ...rest] = typeof given === 'string' ? [given] : (given as readonly unknown[]);
    if (rest.length > 0) throw new InvalidArgumentError(NO_STATEMENT);
    const call = check(parse(sql as string), params as Params | undefined, undefined);
    if (call.statement.control === 'none') return call;
    throw new InvalidArgumentError(
      'batch() begins and commits by itself, and is a savepoint in a transaction.',
    );
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new InvalidArgumentError(`Statement ${String(at + 1)} of the batch: ${error.message}`, error.cause);
  }
}

const NO_STATEMENT = 'A statement is a text, or [text, parameters].';

/** Checks everything about a call that can be checked before it needs a connection. */
function check(
  statement: Statement,
  params: Params | undefined,
  options: ExecuteOptions | undefined,
  run: Call['statement'] = statement,
): Call {
  const values = bind(statement, params);
  if (options === undefined) return { statement: run, values };
  checkCallOptions(options, 'rowMode');
  const { rowMode, signal, timeoutMs } = options;
  if (rowMode !== undefined && !ROW_MODES.has(rowMode)) {
    throw new InvalidArgumentError(`rowMode must be 'object' or 'array'.`);
  }
  return { statement: run, values, rowMode, signal, timeoutMs };
}

const ROW_MODES: ReadonlySet<unknown> = new Set(['object', 'array']);

/** Checks the two options that every call takes; `others` are the names of those that this call takes besides. */
export function checkCallOptions(options: unknown, ...others: string[]): asserts options is QueryOptions {
  if (typeof options !== 'object' || options === null)
    throw new InvalidArgumentError('The options of a call must be an object.');
  const { signal, timeoutMs, ...rest } = options as Record<string, unknown>;
  const unknown = Object.keys(rest).find((name) => !others.includes(name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(
      `Unknown option "${unknown}". Known are: ${['signal', 'timeoutMs', ...others].join(', ')}.`,
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw new InvalidArgumentError('signal must be an AbortSignal.');
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0)) {
    throw new InvalidArgumentError('timeoutMs must be a number of milliseconds greater than 0, or Infinity.');
  }
}
