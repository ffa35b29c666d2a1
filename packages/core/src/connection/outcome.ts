import { asThrown, Cancelled } from './call-queue.ts';
import { bounded, limitOf, type Clock } from '../waiting/deadline.ts';
import type { Result } from '../driver.ts';
import { isConstraint, isNoAnswer } from '../driver-errors.ts';
import { OutcomeUnknownError } from '../errors.ts';

/**
 * How long the pool waits for a cancelled write to return, in milliseconds. Nearly all writes return within one or two
 * milliseconds after their interrupt, and then their outcome is known.
 */
const UNTIL_INTERRUPTED_MS = 50;

/**
 * The outcome of a failed call that writes and commits by itself, or of a failed COMMIT. Resolves to its result if it
 * was done nevertheless. Rejects with the constraint error if it broke a constraint. Rejects with `failure` if it is
 * certain that nothing was done, and otherwise with an `OutcomeUnknownError`.
 */
export async function outcomeOf(failure: unknown, clock: Clock): Promise<unknown> {
  if (!(failure instanceof Cancelled) || failure.call === undefined) throw asFarAsKnown(failure);
  const unknown = (): Error => unknownBecause(failure.reason);
  const end = await bounded(failure.call, limitOf(clock, UNTIL_INTERRUPTED_MS, unknown));
  if ('value' in end) return end.value;
  // `OR FAIL` and RAISE(FAIL) keep the changes before the failure. The caller must not conclude that nothing was done.
  if (isConstraint(end.error)) throw end.error;
  throw isNoAnswer(end.error) || end.error instanceof OutcomeUnknownError ? unknown() : failure;
}

/**
 * The error of a call that may have done something. The outcome is unknown, unless SQLite has answered or the call had
 * not begun.
 */
export function asFarAsKnown(failure: unknown): unknown {
  if (!(failure instanceof Cancelled))
    return isNoAnswer(failure) ? unknownBecause(asThrown(failure)) : failure;
  return failure.call === undefined ? failure : unknownBecause(failure.reason);
}

/** A {@link Cancelled}, because the call must not be tried again. */
export function unknownBecause(cause: unknown): Cancelled {
  return Cancelled.each(() => new OutcomeUnknownError(cause));
}

/** Whether a driver has answered with a result. */
export function isResult(value: unknown): value is Result {
  return Array.isArray((value as Partial<Result> | undefined)?.rows);
}
