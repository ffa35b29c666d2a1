import type { Result } from '../driver.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { Call } from './call.ts';
import { parse } from './sql.ts';
import { querySummary } from './summary.ts';

/**
 * One step of a query plan: https://www.sqlite.org/eqp.html
 *
 * @example const scans = (await pool.explain(sql)).filter(({ detail }) => detail.startsWith('SCAN'));
 */
export interface PlanStep {
  readonly id: number;
  /** The `id` of the step around it; 0 for none. */
  readonly parent: number;
  readonly detail: string;
}

/** The statements that have a plan. */
const EXPLAINED: ReadonlySet<string> = new Set(['SELECT', 'VALUES', 'INSERT', 'REPLACE', 'UPDATE', 'DELETE']);

/** The call that asks SQLite for the plan of a statement, with all its parameters NULL. */
export function explainCall(sql: string): Call {
  const { parameters } = parse(sql);
  const [operation = ''] = querySummary(sql).split(' ');
  if (!EXPLAINED.has(operation))
    throw new InvalidArgumentError('explain() takes one statement that reads or changes rows.');
  return {
    statement: { ...parse(`EXPLAIN QUERY PLAN ${sql}`), written: sql },
    values: parameters.map(() => null),
  };
}

/** Converts SQLite's answer. */
export function planOf({ rows }: Result): PlanStep[] {
  return rows.map(({ id, parent, detail }) => ({
    id: Number(id),
    parent: Number(parent),
    detail: String(detail),
  }));
}
