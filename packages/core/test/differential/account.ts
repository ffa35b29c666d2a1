import { inspect } from 'node:util';
import type { Action, History } from './history.ts';
import { reads, statementsOf, type Statement } from './program.ts';
import type { Place, Recorder } from './recorder.ts';
import type { Outcome } from './users.ts';

/** Something that a pool did, and that the same statements without a pool would not have done. */
export class Difference extends Error {
  constructor(what: string, ...details: unknown[]) {
    super([what, ...details.map((each) => inspect(each, { depth: 9, breakLength: 120 }))].join('\n'));
    this.name = 'Difference';
  }
}

/** An action that takes effect at one place among the others. */
export interface Effect {
  readonly action: Action;
  readonly place: Place;
  /** Whether it had the write lock there, so that what is before it was committed. */
  readonly wrote: boolean;
}

/** An action that sees one state of the file, which is not older than the moment at which its first statement began. */
export interface Look {
  readonly action: Action;
  readonly began: number;
}

/** A history in order. */
export interface Account {
  readonly effects: readonly Effect[];
  readonly looks: readonly Look[];
}

/** Cancelled by its signal or its time limit, and nothing was done. */
const CANCELLED: ReadonlySet<unknown> = new Set(['ABORTED', 'STATEMENT_TIMEOUT']);
/** What the pool says without asking SQLite. */
const UNASKED: ReadonlySet<unknown> = new Set(['TRANSACTION_LOST', 'TRANSACTION_ACTIVE']);

/** Sorts what was done by where it took effect. */
export function accountOf({ actions, numbers }: History, recorder: Recorder): Account {
  const effects: Effect[] = [];
  const looks: Look[] = [];
  /** Where each session has come to. */
  const latest = new Map<string, Place>();
  for (const action of actions) {
    const places = placesOf(action, (statement) => recorder.placesOf(numbers.get(statement)!));
    const last = places.at(-1);
    if (places.some(({ given }) => given > action.settled))
      throw new Difference('A statement reached SQLite after its caller had its answer.', action);
    const kind = kindOf(action, last !== undefined);
    const place = kind === 'after' ? latest.get(action.session) : last;
    if (kind === 'nothing' || place === undefined) continue;
    latest.set(action.session, place);
    if (kind === 'look') looks.push({ action, began: places[0]!.began });
    else effects.push({ action, place, wrote: kind === 'effect' });
  }
  return { effects: effects.toSorted((a, b) => inOrder(a.place, b.place)), looks };
}

/** Whether nobody knows if the action took effect: a cancelled write of which SQLite did not say how it ended. */
export function isDoubtful({ op, outcome }: Action): boolean {
  if (outcome.error?.code !== 'OUTCOME_UNKNOWN' || op === 'release' || op.do === 'transaction') return false;
  return op.abortAfter !== undefined || op.timeoutMs !== undefined;
}

/** The places of the statements that decide when an action takes effect, in order. */
function placesOf({ op }: Action, placesOfOne: (statement: Statement) => readonly Place[]): Place[] {
  if (op === 'release') return [];
  const statements = statementsOf(op);
  const isDeferred = op.do === 'transaction' && op.mode === 'deferred';
  // A deferred transaction gets the write lock when it writes; everything else that writes has it from its beginning.
  const writes = isDeferred ? statements.filter((statement) => !reads(statement)) : [];
  return (writes.length === 0 ? statements : writes).flatMap(placesOfOne).toSorted(inOrder);
}

function inOrder(a: Place, b: Place): number {
  return a.began - b.began || a.within - b.within;
}

/** `look`: it sees a state. `after`: right behind what its session did before. */
function kindOf(action: Action, wasSent: boolean): 'effect' | 'look' | 'after' | 'nothing' {
  const { op, inside, outcome } = action;
  if (op === 'release') return 'after';
  const code = outcome.error?.code;
  const isTransaction = op.do === 'transaction';
  const statements = statementsOf(op);
  const onlyReads = statements.every(reads);
  if (CANCELLED.has(code)) return 'nothing';
  if (isDoubtful(action) && !onlyReads && op.do !== 'batch') return 'effect';
  if (code !== undefined && code !== 'THROWN' && !UNASKED.has(code))
    throw new Difference('The pool had a reason of its own.', action);
  const isDeferred = isTransaction && op.mode === 'deferred';
  // One that failed saw some state, and not always that at the place of its failure.
  if (statements.length === 0 || (isDeferred && outcome.error !== undefined)) return 'nothing';
  if (!wasSent) {
    // Nor does it ask for a ROLLBACK of what SQLite has rolled back already.
    if (UNASKED.has(code) || ('sql' in op && op.sql.startsWith('ROLLBACK'))) return 'after';
    // The statements of a transaction may all come after something else was thrown.
    if (isTransaction && !hasAnswers(outcome)) return 'nothing';
    throw new Difference('The pool answered without asking SQLite.', action);
  }
  return onlyReads && !inside && (!isTransaction || isDeferred) ? 'look' : 'effect';
}

/** Whether something in it was answered that is not itself a transaction. */
function hasAnswers({ steps, value }: Outcome): boolean {
  return steps === undefined ? value !== undefined : steps.some(hasAnswers);
}
