import type { BatchedStatement, BatchOutcome, ExecuteHint } from '../../driver.ts';
import { TransactionLostError } from '../../errors.ts';
import { DEFERRED_CONSTRAINTS } from '../deferred-constraints.ts';
import { serverError } from './errors.ts';
import type { BatchResult, Condition, Step } from './protocol.ts';
import { INSIDE, plainStep, stepsOf } from './steps.ts';
import type { ServerTransaction } from './server-transaction.ts';
import { toResult, wireStatement } from './values.ts';

/** Around the whole of a batch in an open transaction, and around each of its statements. */
const WHOLE = 'sqlite_pool_batch';
const EACH = 'sqlite_pool_statement';

/** Fails, with an overflow, where constraints are checked at the COMMIT only: that cannot tell whose they are. */
const NO_DEFERRED_CONSTRAINTS =
  `SELECT iif((SELECT defer_foreign_keys FROM pragma_defer_foreign_keys) OR EXISTS (${DEFERRED_CONSTRAINTS}), ` +
  'abs(-9223372036854775808), 0)';

const ok = (step: number): Condition => ({ type: 'ok', step });
const and = (...conds: Condition[]): Condition => ({ type: 'and', conds });

/** A batch as steps that the server runs in one hop. */
export class BatchSteps {
  readonly steps: Step[] = [];
  readonly #statements: readonly BatchedStatement[];
  readonly #onError: 'abort' | 'continue';
  /** The step of each statement. */
  readonly #at: { readonly step: number; readonly hint: ExecuteHint }[] = [];
  #begin = 0;
  #guard: number | undefined;
  #end = 0;

  constructor(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
    transaction: Pick<ServerTransaction, 'state' | 'begin'>,
  ) {
    this.#statements = statements;
    this.#onError = onError;
    const writes = statements.some(({ hint }) => !hint.readonly);
    if (transaction.state === 'none') this.#addTransaction(writes);
    else this.#addSavepoint(transaction, writes);
  }

  /** What became of each statement. Throws if nothing was begun. */
  outcomes({ step_results: results, step_errors: errors }: BatchResult): BatchOutcome[] {
    const begun = errors[this.#begin] ?? undefined;
    if (begun !== undefined) throw serverError(begun);
    if ((results[this.#begin] ?? undefined) === undefined) throw new TransactionLostError();
    const isKept = (results[this.#end] ?? undefined) !== undefined;
    const reason = this.#reason(errors);
    return this.#at.map(({ step, hint }): BatchOutcome => {
      const [result, error] = [results[step] ?? undefined, errors[step] ?? undefined];
      if (error !== undefined) return { status: 'failed', error: serverError(error) };
      return isKept && result !== undefined
        ? { status: 'done', result: toResult(result, hint) }
        : { status: 'undone', error: reason };
    });
  }

  /** Why nothing of it is kept. */
  #reason(errors: BatchResult['step_errors']): Error {
    if (this.#guard !== undefined && (errors[this.#guard] ?? undefined) !== undefined)
      return new Error('Constraints of this database are checked at the COMMIT only.');
    const last = errors.findLast((error) => error !== null) ?? undefined;
    return last === undefined ? new TransactionLostError() : serverError(last);
  }

  #addTransaction(writes: boolean): void {
    this.#begin = this.#add(writes ? 'BEGIN IMMEDIATE' : 'BEGIN');
    let before = this.#begin;
    if (writes && this.#onError === 'continue' && this.#statements.length > 1)
      before = this.#guard = this.#add(NO_DEFERRED_CONSTRAINTS, ok(before));
    const good = this.#addStatements(before, writes);
    this.#end = this.#add('COMMIT', good);
    this.#add('ROLLBACK', INSIDE);
  }

  #addSavepoint({ state, begin }: Pick<ServerTransaction, 'state' | 'begin'>, writes: boolean): void {
    const first = state === 'pending' ? this.#add(begin) : undefined;
    this.#begin = this.#add(`SAVEPOINT ${WHOLE}`, first === undefined ? INSIDE : ok(first));
    const good = this.#addStatements(this.#begin, writes);
    this.#end = this.#add(`RELEASE ${WHOLE}`, good);
    const undo = this.#add(
      `ROLLBACK TO ${WHOLE}`,
      and(ok(this.#begin), { type: 'not', cond: ok(this.#end) }, INSIDE),
    );
    this.#add(`RELEASE ${WHOLE}`, ok(undo));
    if (first !== undefined) this.#begin = first;
  }

  /** Adds the statements; the condition on which the whole is kept. */
  #addStatements(before: number, writes: boolean): Condition {
    const begun = ok(before);
    let last = begun;
    for (const { sql, params, hint } of this.#statements) {
      const statement = wireStatement(sql, params, hint);
      if (this.#onError === 'continue' && writes) {
        const savepoint = this.#add(`SAVEPOINT ${EACH}`, and(begun, INSIDE));
        const step = this.#addStatement(statement, hint, ok(savepoint));
        this.#add(`ROLLBACK TO ${EACH}`, and({ type: 'error', step }, INSIDE));
        this.#add(`RELEASE ${EACH}`, and(ok(savepoint), INSIDE));
      } else {
        const step = this.#addStatement(statement, hint, and(last, INSIDE));
        if (this.#onError === 'abort') last = ok(step);
      }
    }
    return and(last, INSIDE);
  }

  #add(sql: string, condition?: Condition): number {
    return this.steps.push(plainStep(sql, condition)) - 1;
  }

  #addStatement(statement: Step['stmt'], hint: ExecuteHint, condition: Condition): number {
    const step = this.steps.push(...stepsOf(statement, condition, this.steps.length)) - 1;
    this.#at.push({ step, hint });
    return step;
  }
}
