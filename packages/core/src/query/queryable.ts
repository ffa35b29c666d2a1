import { queryChannel, type QueryEvent, type RequestOrigin } from '../diagnostics/channels.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { QueryOperation, traced } from '../diagnostics/operation.ts';
import type { ExecuteHint, Result, Row, Value } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import { bind, type Params } from './parameters.ts';
import { parse, type Statement } from './sql.ts';

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

/** The options of a call after its check. */
export interface CallOptions extends QueryOptions {
  /** What the call reports, if something listens. */
  readonly operation?: QueryOperation | undefined;
}

/** A checked statement, ready to run. */
export interface Call extends CallOptions, ExecuteOptions {
  readonly statement: Omit<Statement, 'firstRow'>;
  readonly values: readonly Value[];
  /** Overrides the urgency that follows from the statement. */
  readonly urgency?: ExecuteHint['urgency'];
  /** Whether the cursor of the call stays open after the COMMIT of its transaction. */
  readonly outlivesCommit?: boolean;
}

/**
 * Implements the query methods: checks each call once, reports it, and runs it with the four methods that every handle
 * defines. The handles differ only in the source of the connection: some acquire a lease for each statement, others
 * stand for one lease.
 *
 * Code of this package that has a checked call runs it on a handle with the same four methods. They are public only for
 * that, so they are no part of the published types.
 */
export abstract class QueryMethods implements Queryable {
  /** Hears of every call. @internal */
  abstract readonly observer: Observer;

  /** Runs one checked statement. @internal */
  abstract perform(call: Call): Promise<Result>;
  /** Runs several checked statements, at least one, all or nothing. @internal */
  abstract performAll(calls: readonly Call[], options: CallOptions): Promise<Result[]>;
  /** Runs a script, whose options are checked. @internal */
  abstract performScript(sql: string, options: CallOptions): Promise<void>;
  /** Steps through the rows of a checked statement. @internal */
  abstract step(call: Call): AsyncIterableIterator<Row>;
  abstract transaction<T>(fn: (tx: Queryable) => T | Promise<T>, options?: TransactionOptions): Promise<T>;

  /** The request that makes the calls, if there is one. @internal */
  origin(): RequestOrigin | undefined {
    return undefined;
  }

  execute(
    sql: string,
    params: Params | undefined,
    options: ExecuteOptions & { readonly rowMode: 'array' },
  ): Promise<Result<unknown[]>>;
  execute<R = Row>(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<R>>;
  async execute(sql: string, params?: Params, options?: ExecuteOptions): Promise<Result<unknown>> {
    return await this.#perform('execute', sql, check(parse(sql), params, options));
  }

  async get<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R | undefined> {
    const statement = parse(sql);
    const { rows } = await this.#perform('get', sql, check(statement, params, options, statement.firstRow));
    return rows[0] as R | undefined;
  }

  async all<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R[]> {
    const { rows } = await this.#perform('all', sql, check(parse(sql), params, options));
    return rows as R[];
  }

  async run(sql: string, params?: Params, options?: QueryOptions): Promise<RunResult> {
    const { changes, lastInsertRowid } = await this.#perform('run', sql, check(parse(sql), params, options));
    return { changes, lastInsertRowid };
  }

  async batch(statements: readonly BatchStatement[], options: QueryOptions = {}): Promise<Result[]> {
    checkCallOptions(options);
    if (!Array.isArray(statements))
      throw new InvalidArgumentError(
        "batch() takes an array: batch([['DELETE FROM a WHERE id = ?', [1]], 'DELETE FROM b']).",
      );
    const calls = Array.from(statements as readonly BatchStatement[], checkOfBatch);
    if (calls.length === 0) return [];
    if (!this.observer.watchesQueries) return await this.performAll(calls, options);
    const sql = calls.map(({ statement }) => statement.sql).join(';\n');
    const operation = this.#operation({
      method: 'batch',
      sql,
      kind: kindOf(calls),
      parameters: sum(calls, ({ values }) => values.length),
      statements: calls.length,
    });
    return await traced(queryChannel, operation, async () => {
      const results = await this.performAll(calls, { ...options, operation });
      operation.returned(
        sum(results, ({ rows }) => rows.length),
        sum(results, ({ changes }) => changes),
      );
      return results;
    });
  }

  iterate<R = Row>(sql: string, params?: Params, options?: QueryOptions): AsyncIterableIterator<R> {
    const statement = parse(sql);
    if (!statement.readonly || !statement.returnsRows) {
      throw new InvalidArgumentError('iterate() is for statements that only read; use all() or run().');
    }
    const call = check(statement, params, options);
    const rows = this.observer.watchesQueries ? this.#stepTraced(call) : this.step(call);
    return rows as AsyncIterableIterator<R>;
  }

  async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkCallOptions(options);
    if (!this.observer.watchesQueries) {
      await this.performScript(sql, options);
      return;
    }
    // Nothing is known of a script before it is parsed.
    const operation = this.#operation({ method: 'script', sql, kind: 'write', parameters: 0, statements: 1 });
    await traced(queryChannel, operation, async () => {
      await this.performScript(sql, { ...options, operation });
    });
  }

  /** Not an async function: that would cost every statement a promise. */
  #perform(method: QueryEvent['method'], sql: string, call: Call): Promise<Result> {
    if (!this.observer.watchesQueries) return this.perform(call);
    const parameters = call.values.length;
    const operation = this.#operation({ method, sql, kind: kindOf([call]), parameters, statements: 1 });
    return traced(
      queryChannel,
      operation,
      () => this.perform({ ...call, operation }),
      ({ rows, changes }) => {
        operation.returned(rows.length, call.statement.effect === 'none' ? undefined : changes);
      },
    );
  }

  /** A cursor is one call, which ends with its loop. An event for each row would cost more than the row. */
  async *#stepTraced(call: Call): AsyncGenerator<Row, void, undefined> {
    const { sql } = call.statement;
    const parameters = call.values.length;
    const operation = this.#operation({ method: 'iterate', sql, kind: 'read', parameters, statements: 1 });
    let end: ((failed?: { readonly error: unknown }) => void) | undefined;
    const loop = new Promise<void>((resolve, reject) => {
      // The loop rejects with the same error.
      end = (failed) => (failed === undefined ? resolve() : reject(failed.error));
    });
    void traced(queryChannel, operation, () => loop).catch(() => undefined);
    let rows = 0;
    let failed: { readonly error: unknown } | undefined;
    try {
      for await (const row of this.step({ ...call, operation })) {
        rows += 1;
        yield row;
      }
    } catch (error) {
      failed = { error };
      throw error;
    } finally {
      operation.returned(rows, undefined);
      end?.(failed);
    }
  }

  #operation(
    call: Pick<QueryEvent, 'method' | 'sql' | 'kind' | 'parameters' | 'statements'>,
  ): QueryOperation {
    return new QueryOperation(this.observer, this.origin(), call);
  }
}

function kindOf(calls: readonly Call[]): QueryEvent['kind'] {
  if (calls.some(({ statement }) => statement.control !== 'none')) return 'control';
  return calls.every(({ statement }) => statement.readonly) ? 'read' : 'write';
}

function sum<T>(all: readonly T[], numberOf: (one: T) => number): number {
  return all.reduce((total, one) => total + numberOf(one), 0);
}

/** Checks one statement of a batch. The error names the position of the statement. */
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

/** Checks everything about a call that can be checked without a connection. */
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

/** Checks the two options that every call takes. `others`: the names of the other options that this call takes. */
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
