import { brokenContract } from '../driver-errors.ts';
import type { BatchedStatement, BatchOutcome, Result } from '../driver.ts';
import type { Call } from '../query/call.ts';
import { noteSql } from '../errors.ts';
import type { Statement } from '../query/sql.ts';
import type { Limit } from '../waiting/deadline.ts';
import { asThrown, Cancelled } from './call-queue.ts';
import { isResult, unknownBecause } from './outcome.ts';
import type { Statements } from './statements.ts';

/** Runs several statements in one call, all or nothing. Rejects with the error of the one that failed. */
export async function performAll(
  statements: Statements,
  calls: readonly Call[],
  limit: Limit | undefined,
  unleased: boolean,
): Promise<Result[]> {
  const batched = batchedOf(statements, calls, unleased);
  let failed: Call | undefined;
  const start = async (): Promise<Result[]> => {
    const inside = statements.transaction.isOpen;
    const outcomes = checked(calls, await statements.connection.batch(batched, 'abort', inside));
    const at = outcomes.findIndex(({ status }) => status === 'failed');
    failed = calls[at];
    const failure = outcomes[at] ?? outcomes.find(({ status }) => status === 'undone');
    if (failure !== undefined && failure.status !== 'done') throw failure.error;
    return outcomes.map((outcome) => (outcome as { readonly result: Result }).result);
  };
  try {
    return await statements.callBatch(wholeOf(calls), start, limit);
  } catch (error) {
    if (failed === undefined || error instanceof Cancelled) throw error;
    throw noteSql(asThrown(error), failed.statement.written);
  }
}

/** Runs writes in one call and one transaction of their own. The outcome of each is the same as if it had run alone. */
export async function performTogether(
  statements: Statements,
  calls: readonly Call[],
  limit: Limit | undefined,
  since: number | undefined,
): Promise<readonly BatchOutcome[]> {
  const batched = batchedOf(statements, calls, true);
  const start = async (): Promise<readonly BatchOutcome[]> =>
    checked(calls, await statements.connection.batch(batched, 'continue', false));
  return await statements.callBatch(wholeOf(calls), start, limit, since);
}

function batchedOf(statements: Statements, calls: readonly Call[], unleased: boolean): BatchedStatement[] {
  const apart = unleased && calls.every(({ statement }) => !statement.taints);
  return calls.map((call) => ({
    sql: call.statement.sql,
    params: call.values,
    hint: statements.hintOf(call, apart),
  }));
}

function wholeOf(calls: readonly Call[]): Pick<Statement, 'sql' | 'readonly' | 'taints'> {
  const first = calls[0]?.statement.sql ?? '';
  return {
    sql: calls.length > 1 ? `${first}, and ${String(calls.length - 1)} more in the same call` : first,
    readonly: calls.every(({ statement }) => statement.readonly),
    taints: calls.some(({ statement }) => statement.taints),
  };
}

function checked(calls: readonly Call[], outcomes: unknown): BatchOutcome[] {
  if (isOutcomes(outcomes, calls)) return outcomes;
  throw unknownBecause(brokenContract());
}

/** Whether a driver has answered a batch with one outcome per statement. */
export function isOutcomes(value: unknown, calls: { readonly length: number }): value is BatchOutcome[] {
  return (
    Array.isArray(value) &&
    value.length === calls.length &&
    value.every((outcome: BatchOutcome) => outcome.status !== 'done' || isResult(outcome.result))
  );
}
