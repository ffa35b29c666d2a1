import type { WireOutcome } from '../answers.ts';
import type { Statement } from '../calls.ts';
import type { Database } from './database.ts';
import { isInterrupt } from './errors.ts';

/** Around the whole of a batch in an open transaction, and around each of its statements. */
const WHOLE = 'sqlite_pool_batch';
const EACH = 'sqlite_pool_statement';

/**
 * Runs statements in one transaction. Throws if it could not begin: then nothing was done.
 *
 * @param goesOn - A statement that fails is undone alone, and the others stay. Otherwise it is all or nothing.
 */
export function runBatch(
  database: Database,
  statements: readonly Statement[],
  goesOn: boolean,
): WireOutcome[] {
  const owns = !database.inTransaction;
  database.control(owns ? 'BEGIN IMMEDIATE' : `SAVEPOINT ${WHOLE}`);
  const outcomes: WireOutcome[] = [];
  try {
    for (const statement of statements) {
      const outcome = goesOn ? runApart(database, statement) : runOne(database, statement);
      outcomes.push(outcome);
      if (outcome.status === 'done' || (goesOn && database.inTransaction && !isInterrupt(outcome.error)))
        continue;
      throw outcome.error;
    }
    database.control(owns ? 'COMMIT' : `RELEASE ${WHOLE}`);
    return outcomes;
  } catch (error) {
    undo(database, owns);
    return statements.map((_, at) => {
      const outcome = outcomes[at];
      return outcome?.status === 'failed' ? outcome : { status: 'undone', error };
    });
  }
}

function runOne(database: Database, statement: Statement): WireOutcome {
  try {
    return { status: 'done', result: database.execute(statement) };
  } catch (error) {
    return { status: 'failed', error };
  }
}

/**
 * With a savepoint: SQLite does not always undo what a failed statement has done. One that "cannot fail half-way" has no
 * statement journal, and leaves its rows when it does so all the same: see `sqlite3MayAbort()` in
 * https://www.sqlite.org/src/file/src/build.c
 */
function runApart(database: Database, statement: Statement): WireOutcome {
  database.control(`SAVEPOINT ${EACH}`);
  const outcome = runOne(database, statement);
  if (!database.inTransaction) return outcome;
  if (outcome.status !== 'done') database.control(`ROLLBACK TO ${EACH}`);
  database.control(`RELEASE ${EACH}`);
  return outcome;
}

function undo(database: Database, owns: boolean): void {
  // SQLite may have rolled back by itself.
  if (!database.inTransaction) return;
  if (owns) {
    database.control('ROLLBACK');
    return;
  }
  database.control(`ROLLBACK TO ${WHOLE}`);
  database.control(`RELEASE ${WHOLE}`);
}
