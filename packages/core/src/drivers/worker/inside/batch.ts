import { leftNothing } from '../../../driver-errors.ts';
import type { WireOutcome } from '../answers.ts';
import { READONLY, type Statement } from '../calls.ts';
import type { Database } from './database.ts';
import { isInterrupt } from './errors.ts';

/** Around the whole of a batch in an open transaction, and around each of its statements. */
const WHOLE = 'sqlite_pool_batch';
const EACH = 'sqlite_pool_statement';

/** What a statement that fails undoes, and how the transaction goes on. */
type Rule =
  /** Nothing is kept. */
  | 'abort'
  /** Itself alone, by SQLite's own means. What needs more to be undone ends the batch. */
  | 'trust'
  /** Itself alone, by a savepoint where SQLite's own means do not do it. */
  | 'apart';

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
  if (database.inTransaction) return runIn(database, statements, goesOn ? 'apart' : 'abort', SAVEPOINT) ?? [];
  if (statements.every(({ flags }) => (flags & READONLY) !== 0))
    return runIn(database, statements, goesOn ? 'apart' : 'abort', READING) ?? [];
  if (!goesOn) return runIn(database, statements, 'abort', WRITING) ?? [];
  // A savepoint for each costs about as much as the statements do, so they have one only where it was needed.
  return runIn(database, statements, 'trust', WRITING) ?? runIn(database, statements, 'apart', WRITING) ?? [];
}

/** How a batch begins and ends. */
interface Frame {
  readonly begin: string;
  readonly keep: string;
  readonly undo: readonly string[];
  /** Whether other statements than these can make the end fail. */
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

/** `undefined`: a statement failed that may have left something, and nothing is kept. */
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
 * With a savepoint: SQLite does not always undo what a failed statement has done. One that "cannot fail half-way" has no
 * statement journal, and leaves its rows when it does so all the same: see `sqlite3MayAbort()` in
 * https://www.sqlite.org/src/file/src/build.c
 */
function runApart(database: Database, statement: Statement): WireOutcome {
  database.control(`SAVEPOINT ${EACH}`);
  const outcome = runOne(database, statement);
  if (!database.inTransaction) return outcome;
  // Not after FAIL, for example, which keeps what it has done: alone it would stay.
  if (outcome.status !== 'done' && !leftNothing(outcome.error)) database.control(`ROLLBACK TO ${EACH}`);
  database.control(`RELEASE ${EACH}`);
  return outcome;
}

function undo(database: Database, frame: Frame): void {
  // SQLite may have rolled back by itself.
  if (!database.inTransaction) return;
  for (const sql of frame.undo) database.control(sql);
}
