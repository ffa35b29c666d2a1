import { queryChannel, type QueryEvent, type RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { QueryOperation, traced } from '../diagnostics/operation.ts';
import type { Result, Row } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import {
  checkBatched,
  checkCall,
  checkCallOptions,
  type Call,
  type CallOptions,
  type Script,
} from './call.ts';
import type { Kind } from './kind.ts';
import type { Params } from './parameters.ts';
import type {
  BatchStatement,
  ExecuteOptions,
  Queryable,
  QueryOptions,
  RunResult,
  TransactionOptions,
} from './queryable.ts';
import { parse, parseScript } from './sql.ts';
import { tracedRows } from './traced-rows.ts';

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
  /** Runs a checked script. @internal */
  abstract performScript(script: Script, options: CallOptions): Promise<void>;
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
    return await this.#perform('execute', sql, checkCall(parse(sql), params, options));
  }

  async get<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R | undefined> {
    const statement = parse(sql);
    const { rows } = await this.#perform(
      'get',
      sql,
      checkCall(statement, params, options, statement.firstRow),
    );
    return rows[0] as R | undefined;
  }

  async all<R = Row>(sql: string, params?: Params, options?: QueryOptions): Promise<R[]> {
    const { rows } = await this.#perform('all', sql, checkCall(parse(sql), params, options));
    return rows as R[];
  }

  async run(sql: string, params?: Params, options?: QueryOptions): Promise<RunResult> {
    const { changes, lastInsertRowid } = await this.#perform(
      'run',
      sql,
      checkCall(parse(sql), params, options),
    );
    return { changes, lastInsertRowid };
  }

  async batch(statements: readonly BatchStatement[], options: QueryOptions = {}): Promise<Result[]> {
    checkCallOptions(options);
    if (!Array.isArray(statements))
      throw new InvalidArgumentError(
        "batch() takes an array: batch([['DELETE FROM a WHERE id = ?', [1]], 'DELETE FROM b']).",
      );
    const calls = Array.from(statements as readonly BatchStatement[], checkBatched);
    if (calls.length === 0) return [];
    if (!this.observer.watchesQueries) return await this.performAll(calls, options);
    const sql = calls.map(({ statement }) => statement.sql).join(';\n');
    const operation = this.#operation({
      method: 'batch',
      sql,
      kind: eventKindOf(calls.map(({ statement }) => statement)),
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
    const call = checkCall(statement, params, options);
    if (!this.observer.watchesQueries) return this.step(call) as AsyncIterableIterator<R>;
    const parameters = call.values.length;
    const begin = (): QueryOperation =>
      this.#operation({ method: 'iterate', sql, kind: 'read', parameters, statements: 1 });
    return tracedRows(begin, (operation) => this.step({ ...call, operation })) as AsyncIterableIterator<R>;
  }

  async script(sql: string, options: QueryOptions = {}): Promise<void> {
    checkCallOptions(options);
    const script: Script = { sql, statements: parseScript(sql) };
    if (!this.observer.watchesQueries) {
      await this.performScript(script, options);
      return;
    }
    const kind = eventKindOf(script.statements);
    const operation = this.#operation({ method: 'script', sql, kind, parameters: 0, statements: 1 });
    await traced(queryChannel, operation, async () => {
      await this.performScript(script, { ...options, operation });
    });
  }

  /** Not an async function: that would cost every statement a promise. */
  #perform(method: QueryEvent['method'], sql: string, call: Call): Promise<Result> {
    if (!this.observer.watchesQueries) return this.perform(call);
    const parameters = call.values.length;
    const operation = this.#operation({
      method,
      sql,
      kind: eventKindOf([call.statement]),
      parameters,
      statements: 1,
    });
    return traced(
      queryChannel,
      operation,
      () => this.perform({ ...call, operation }),
      ({ rows, changes }) => {
        operation.returned(rows.length, call.statement.effect === 'none' ? undefined : changes);
      },
    );
  }

  #operation(
    call: Pick<QueryEvent, 'method' | 'sql' | 'kind' | 'parameters' | 'statements'>,
  ): QueryOperation {
    return new QueryOperation(this.observer, this.origin(), call);
  }
}

function eventKindOf(statements: readonly Kind[]): QueryEvent['kind'] {
  if (statements.some(({ control }) => control !== 'none')) return 'control';
  return statements.every(({ readonly }) => readonly) ? 'read' : 'write';
}

function sum<T>(all: readonly T[], numberOf: (one: T) => number): number {
  return all.reduce((total, one) => total + numberOf(one), 0);
}
