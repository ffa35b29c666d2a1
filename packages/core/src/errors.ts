/**
 * All errors of the pool, by the moment at which they come. The list of codes in `errors/base.ts` is closed, and each
 * code has a heading in docs/errors.md.
 *
 * Two rules hold for all of them. A message never contains SQL text, a parameter or a file path, because web frameworks
 * send messages to clients. The error of SQLite or the driver is kept as `cause`. `cause` is not enumerable, so that
 * `JSON.stringify(error)` cannot send it either.
 */

export { type ErrorCode, RetryableError, SqlitePoolError } from './errors/base.ts';
// The pool has no connection, and cannot open one.
export {
  DriverConflictError,
  DriverMissingError,
  NameTakenError,
  OpenError,
  type OpenFailure,
} from './errors/opening.ts';
// The wait for a connection, or for the end of something else, was in vain.
export {
  type AcquireCounts,
  type AcquirePhase,
  AcquireTimeoutError,
  OperationTimeoutError,
  PoolClosedError,
  PoolOverloadedError,
  UnhealthyError,
} from './errors/waiting.ts';
// A call was refused, cancelled or lost.
export {
  ConnectionLostError,
  InvalidArgumentError,
  LeaseEndedError,
  type LostOutcome,
  OutcomeUnknownError,
  StatementTimeoutError,
  TransactionActiveError,
  TransactionLostError,
  UnsupportedError,
} from './errors/call.ts';
// SQLite itself has answered with an error.
export { type BrokenConstraint, BusyError, noteSql, SqliteError } from './errors/sqlite.ts';
