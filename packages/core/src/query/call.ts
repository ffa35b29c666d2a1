import type { QueryOperation } from '../diagnostics/operation.ts';
import type { ExecuteHint, Value } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import { bind, type Params } from './parameters.ts';
import type { BatchStatement, ExecuteOptions, QueryOptions } from './queryable.ts';
import { parse, type Statement } from './sql.ts';

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

/** A checked script, ready to run. */
export interface Script {
  readonly sql: string;
  readonly statements: readonly Statement[];
}

/** Checks one statement of a batch. The error names the position of the statement. */
export function checkBatched(given: BatchStatement, at: number): Call {
  try {
    if (typeof given !== 'string' && !Array.isArray(given)) throw new InvalidArgumentError(NO_STATEMENT);
    const [sql, params, ...rest] = typeof given === 'string' ? [given] : (given as readonly unknown[]);
    if (rest.length > 0) throw new InvalidArgumentError(NO_STATEMENT);
    const call = checkCall(parse(sql as string), params as Params | undefined, undefined);
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
export function checkCall(
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
