import type { Statement } from '../../query/sql.ts';
import type { Condition, Step } from './protocol.ts';
import { INSIDE, plainStep } from './steps.ts';
import type { ServerTransaction } from './server-transaction.ts';

/**
 * The statements of a script as steps: each runs if the one before it was done. In a transaction it runs only if that is still
 * there: after the server has rolled it back the rest would else be kept, statement by statement.
 */
export function scriptSteps(
  statements: readonly Pick<Statement, 'sql' | 'control'>[],
  transaction: Pick<ServerTransaction, 'state' | 'begin'>,
): Step[] {
  const steps: Step[] = [];
  let isInside = transaction.state !== 'none';
  const add = (sql: string, guarded: boolean): void => {
    const conds: Condition[] = [];
    if (steps.length > 0) conds.push({ type: 'ok', step: steps.length - 1 });
    if (guarded) conds.push(INSIDE);
    steps.push(plainStep(sql, conds.length === 0 ? undefined : { type: 'and', conds }));
  };
  if (transaction.state === 'pending') add(transaction.begin, false);
  for (const { sql, control } of statements) {
    add(sql, isInside && control !== 'begin');
    if (control === 'begin') isInside = true;
    // A RELEASE of the outermost savepoint commits, and whether it is that one is not known here.
    if (control === 'commit' || control === 'rollback' || control === 'release') isInside = false;
  }
  return steps;
}
