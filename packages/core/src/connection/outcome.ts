import { asThrown, Cancelled } from './call-queue.ts';
import { bounded, limitOf, type Clock } from '../waiting/deadline.ts';
import { isConstraint, isNoAnswer } from '../driver-errors.ts';
import { OutcomeUnknownError } from '../errors.ts';

/**
 * How long a write that was cut is waited for, in milliseconds: nearly all return within one or two after their interrupt, and then
 * it is known what they have done.
 */
const UNTIL_INTERRUPTED_MS = 50;

/**
 * What has become of a write that commits by itself, or of a COMMIT, whose call has failed: its result if it was done all the same,
 * the constraint if it broke one, or else the failure, if that says that nothing was done. Rejects with an `OutcomeUnknownError` if
 * nobody knows.
 */
export async function outcomeOf(failure: unknown, clock: Clock): Promise<unknown> {
  if (!(failure instanceof Cancelled) || failure.call === undefined) throw asFarAsKnown(failure);
  const unknown = (): Error => unknownBecause(failure.reason);
  const end = await bounded(failure.call, limitOf(clock, UNTIL_INTERRUPTED_MS, unknown));
  if ('value' in end) return end.value;
  // `OR FAIL` and RAISE(FAIL) keep what came before the failure: the caller must not believe that nothing was done.
  if (isConstraint(end.error)) throw end.error;
  throw isNoAnswer(end.error) ? unknown() : failure;
}

/** The failure of a call that may have done something: nobody knows, unless SQLite has answered or the call had not begun. */
export function asFarAsKnown(failure: unknown): unknown {
  if (!(failure instanceof Cancelled))
    return isNoAnswer(failure) ? unknownBecause(asThrown(failure)) : failure;
  return failure.call === undefined ? failure : unknownBecause(failure.reason);
}

/** As something that was cut, because it must not be tried again. */
export function unknownBecause(cause: unknown): Cancelled {
  return Cancelled.each(() => new OutcomeUnknownError(cause));
}
