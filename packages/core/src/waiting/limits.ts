import { limitOf, type CancelToken, type Clock, type Limit } from './deadline.ts';
import { OperationTimeoutError, StatementTimeoutError, type AcquireTimeoutError } from '../errors.ts';

/** Which limit is for what: the time settings of a pool, turned into limits. */
export interface TimeSettings {
  readonly clock: Clock;
  readonly operationTimeoutMs: number;
  readonly acquisitionTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** The error of a write whose turn did not come. */
  writeTimeoutError(): AcquireTimeoutError;
}

/** For the pool's own work on a connection: an open, a health check, a reset, a rollback, a close. */
export function operationLimit(
  { clock, operationTimeoutMs }: Pick<TimeSettings, 'clock' | 'operationTimeoutMs'>,
  what: string,
  signal?: AbortSignal,
): Limit {
  const timeoutError = (): Error => new OperationTimeoutError(what, operationTimeoutMs);
  return limitOf(clock, operationTimeoutMs, timeoutError, signal);
}

/** For a statement of a user. `undefined` if nothing limits it: then there is nothing to allocate and to watch. */
export function statementLimit(
  { clock, statementTimeoutMs }: TimeSettings,
  timeoutMs: number | undefined,
  signal: AbortSignal | undefined,
): Limit | undefined {
  const time = timeoutMs ?? statementTimeoutMs;
  return time === Infinity && signal === undefined ? undefined : ownLimit(clock, time, signal);
}

// A function of its own: a closure costs whatever comes to where it is written, made or not.
function ownLimit(clock: Clock, time: number, ...signals: (CancelToken | undefined)[]): Limit {
  return limitOf(clock, time, () => new StatementTimeoutError('statement', time), ...signals);
}

/** For the statement that begins a transaction: one like another, inside the limit of the whole. */
export function beginLimit({ clock, statementTimeoutMs: time }: TimeSettings, whole: Limit): Limit {
  const own = ownLimit(clock, time, ...whole.signals);
  return own.deadline < whole.deadline ? own : whole;
}

/** For the turn to write: as long as for a connection, or as long as the statement may take, if that is less. */
export function writeLockLimit(
  settings: TimeSettings,
  statement: Limit | undefined,
  ended: CancelToken,
): Limit {
  const { clock, acquisitionTimeoutMs } = settings;
  const timeoutError = (): Error => settings.writeTimeoutError();
  const own = limitOf(clock, acquisitionTimeoutMs, timeoutError, ...(statement?.signals ?? []), ended);
  if (statement === undefined || statement.deadline >= own.deadline) return own;
  return { ...own, deadline: statement.deadline, timeoutError: () => statement.timeoutError(0) };
}
