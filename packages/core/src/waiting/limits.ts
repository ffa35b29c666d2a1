import { limitOf, type CancelToken, type Clock, type Limit } from './deadline.ts';
import { OperationTimeoutError, StatementTimeoutError, type AcquireTimeoutError } from '../errors.ts';

/** The time settings of a pool, and the limits that follow from them. */
export interface TimeSettings {
  readonly clock: Clock;
  readonly operationTimeoutMs: number;
  readonly acquireTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** The error of a write that reached its deadline while it waited for the write lock. */
  writeTimeoutError(): AcquireTimeoutError;
}

/** The limit of the pool's own work on a connection: an open, a health check, a reset, a rollback, a close. */
export function operationLimit(
  { clock, operationTimeoutMs }: Pick<TimeSettings, 'clock' | 'operationTimeoutMs'>,
  what: string,
  signal?: AbortSignal,
): Limit {
  const timeoutError = (): Error => new OperationTimeoutError(what, operationTimeoutMs);
  return limitOf(clock, operationTimeoutMs, timeoutError, signal);
}

/**
 * The limit of a caller's statement. `undefined` if the statement has no limit: then there is nothing to allocate or
 * watch.
 */
export function statementLimit(
  { clock, statementTimeoutMs }: TimeSettings,
  timeoutMs: number | undefined,
  signal: AbortSignal | undefined,
): Limit | undefined {
  const time = timeoutMs ?? statementTimeoutMs;
  return time === Infinity && signal === undefined ? undefined : ownLimit(clock, time, signal);
}

// A separate function, because a closure slows down the function that contains it, even when it is never created.
function ownLimit(clock: Clock, time: number, ...signals: (CancelToken | undefined)[]): Limit {
  return limitOf(clock, time, () => new StatementTimeoutError('statement', time), ...signals);
}

/**
 * The limit of the statement that begins a transaction: that of any statement, but never beyond the limit of the
 * transaction.
 */
export function beginLimit({ clock, statementTimeoutMs: time }: TimeSettings, whole: Limit): Limit {
  const own = ownLimit(clock, time, ...whole.signals);
  return own.deadline < whole.deadline ? own : whole;
}

/** The limit of a wait for the write lock: the acquisition timeout, or the limit of the statement if that ends earlier. */
export function writeLockLimit(
  settings: TimeSettings,
  statement: Limit | undefined,
  ended: CancelToken,
): Limit {
  const { clock, acquireTimeoutMs } = settings;
  const timeoutError = (): Error => settings.writeTimeoutError();
  const own = limitOf(clock, acquireTimeoutMs, timeoutError, ...(statement?.signals ?? []), ended);
  if (statement === undefined || statement.deadline >= own.deadline) return own;
  return { ...own, deadline: statement.deadline, timeoutError: () => statement.timeoutError(0) };
}
