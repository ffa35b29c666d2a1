import { leftNothing } from '../../../driver-errors.ts';
import type { WireOutcome } from '../answers.ts';
import { READONLY, type Statement } from '../calls.ts';
import type { Database } from './database.ts';
import { isInterrupt } from './errors.ts';

/** The names of the savepoints around a whole batch in an open transaction, and around each of its statements. */
const WHOLE = 'sqlite_pool_batch';
const EACH = 'sqlite_pool_statement';

/** What a failed statement undoes, and whether the batch goes on. */
type Rule =
  /** Undoes the whole batch. */
  | 'abort'
  /**
   * Undoes the failed statement alone, and relies on SQLite for that. A failure that SQLite does not undo ends the
   * batch.
   */
  | 'trust'
  /** Undoes the failed statement alone, with a savepoint where SQLite does not undo it. */
  | 'apart';

/**
 * Runs statements in one transaction. Throws if the transaction could not begin: then nothing was done.
 *
 * @param goesOn - Whether a failed statement is undone alone, and the others stay. Otherwise it is all or nothing.
 */
export function runBatch(
  database: Database,
  statements: readonly Statement[],
  goesOn: boolean,
): WireOutcome[] {
  if (database.inTransaction) return runIn(database, statements, goesOn ? 'apart' : 'abort', SAVEPOINT) ?? [];
  if (statements.every(({ flags }) => (flags & READONLY) !== 0))
    return runIn(database, statements, goesOn ? 'apart' : 'abort', READING) ?? [];
  if (!goesOn) return runIn(database, statements, 'abort', WRITING) ?? [];
  // A savepoint costs about as much as the statement in it. So the first try has none, and the second one only if
  // needed.
  return runIn(database, statements, 'trust', WRITING) ?? runIn(database, statements, 'apart', WRITING) ?? [];
}

/** How a batch begins and ends. */
interface Frame {
  readonly begin: string;
  readonly keep: string;
  readonly undo: readonly string[];
  /** Whether the end checks deferred constraints, so that a statement of the batch can make it fail. */
  readonly checksAtEnd: boolean;
}

const SAVEPOINT: Frame = {
  begin: `SAVEPOINT ${WHOLE}`,
  keep: `RELEASE ${WHOLE}`,
  undo: [`ROLLBACK TO ${WHOLE}`, `RELEASE ${WHOLE}`],
  checksAtEnd: false,
};
const READING: Frame = { begin: 'BEGIN', keep: 'COMMIT', undo: ['ROLLBACK'], checksAtEnd: false };
const WRITING: Frame = { ...READING, begin: 'BEGIN IMMEDIATE', checksAtEnd: true };

/** Returns `undefined` if a failed statement may have left changes. Then everything is undone. */
function runIn(
  database: Database,
  statements: readonly Statement[],
  rule: Rule,
  frame: Frame,
): WireOutcome[] | undefined {
  database.control(frame.begin);
  const outcomes: WireOutcome[] = [];
  try {
    if (frame.checksAtEnd && rule !== 'abort' && statements.length > 1 && database.defersConstraints())
      throw new Error('Constraints are checked at the COMMIT only, which cannot tell whose they are.');
    const savepoints = rule === 'apart' && frame.begin !== READING.begin;
    for (const statement of statements) {
      const outcome = savepoints ? runApart(database, statement) : runOne(database, statement);
      outcomes.push(outcome);
      if (outcome.status === 'done') continue;
      const goesOn = rule !== 'abort' && database.inTransaction && !isInterrupt(outcome.error);
      if (!goesOn) throw outcome.error;
      if (rule === 'apart' || leftNothing(outcome.error)) continue;
      undo(database, frame);
      return undefined;
    }
    database.control(frame.keep);
    return outcomes;
  } catch (error) {
    undo(database, frame);
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
 * Runs a statement in a savepoint, because SQLite does not always undo the changes of a failed statement. A statement
 * that "cannot fail half-way" has no statement journal. If it nevertheless does, it leaves its rows: see
 * `sqlite3MayAbort()` in https://www.sqlite.org/src/file/src/build.c
 */
function runApart(database: Database, statement: Statement): WireOutcome {
  database.control(`SAVEPOINT ${EACH}`);
  const outcome = runOne(database, statement);
  if (!database.inTransaction) return outcome;
  // Not after FAIL, for example, which keeps its changes: if the statement had run alone, they would stay.
  if (outcome.status !== 'done' && !leftNothing(outcome.error)) database.control(`ROLLBACK TO ${EACH}`);
  database.control(`RELEASE ${EACH}`);
  return outcome;
}

function undo(database: Database, frame: Frame): void {
  // SQLite may have rolled back by itself.
  if (!database.inTransaction) return;
  for (const sql of frame.undo) database.control(sql);
}
