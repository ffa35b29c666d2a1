import { SqlitePoolError, type ErrorCode } from '../../src/index.ts';
import { nameOf, type Outcome } from './history.ts';
import type { Entry, Log } from './log.ts';
import { Undo } from './perform.ts';

/** Why a call was cancelled, as its caller said. */
export class GivenUp extends Error {}

/** What is known of a call beforehand. */
export interface Expectation {
  /** Whether it is undone when it is cancelled, as a transaction is; the outcome of a single write is then unknown. */
  readonly atomic: boolean;
  /** Whether SQLite must refuse it. */
  readonly doomed: boolean;
}

/** Rejections after which nothing was done. */
const NOT_DONE: ReadonlySet<ErrorCode> = new Set([
  'SQLITE_BUSY',
  'ACQUIRE_TIMEOUT',
  'POOL_OVERLOADED',
  'TRANSACTION_LOST',
] satisfies ErrorCode[]);

/** Rejections of which the documentation says that the outcome can be unknown. */
const UNKNOWN: ReadonlySet<ErrorCode> = new Set([
  'OUTCOME_UNKNOWN',
  'OPERATION_TIMEOUT',
  'LEASE_ENDED',
  'POOL_CLOSED',
] satisfies ErrorCode[]);

/** What a rejection says of what was done; `undefined` for one that there is no reason for. */
function outcomeOf(error: unknown, { atomic, doomed }: Expectation): Outcome | undefined {
  if (error instanceof Undo) return 'fail';
  const code = error instanceof SqlitePoolError ? error.code : undefined;
  if (error instanceof GivenUp || code === 'STATEMENT_TIMEOUT') return atomic ? 'fail' : 'info';
  if (code === undefined) return undefined;
  if (NOT_DONE.has(code) || (code === 'SQLITE_ERROR' && doomed)) return 'fail';
  return UNKNOWN.has(code) ? 'info' : undefined;
}

/** Ends an entry of the log as its work ends. */
export async function settle(
  log: Log,
  entry: Entry,
  expectation: Expectation,
  work: () => Promise<unknown>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    noteFailure(log, entry, expectation, error);
    return;
  }
  entry.end('ok');
}

/** Ends an entry whose work has rejected. */
export function noteFailure(log: Log, entry: Entry, expectation: Expectation, error: unknown): void {
  const outcome = outcomeOf(error, expectation);
  if (outcome === undefined) log.complain(`${nameOf(entry.id)} rejected with ${describe(error)}`);
  entry.end(outcome ?? 'info', error);
}

/** For what rejects before a transaction has begun. */
export function complainUnlessKnown(log: Log, error: unknown): void {
  if (outcomeOf(error, { atomic: true, doomed: false }) === undefined) log.complain(describe(error));
}

export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${describe(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
