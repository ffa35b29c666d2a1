export { createPool, SqlitePool } from './pool.ts';
export { type PoolOptions, type PoolSource } from './options.ts';
export { type RequestDb } from './request/request-db.ts';
export { type CheckpointMode, type CheckpointOptions, type CheckpointResult } from './database/checkpoint.ts';
export { Lease, type AcquireOptions } from './leasing/lease.ts';
export {
  type BatchStatement,
  type ExecuteOptions,
  type Queryable,
  type QueryOptions,
  type RunResult,
  type TransactionMode,
  type TransactionOptions,
} from './query/queryable.ts';
export { type BindValue, type Params } from './query/parameters.ts';
export { type Connection, type Driver, type Result, type Row, type Value } from './driver.ts';
export { RECOMMENDED_PRAGMAS, type Pragmas } from './drivers/pragmas.ts';
export { type Logger } from './diagnostics/logger.ts';
export type {
  ConnectionInspection,
  LeaseInspection,
  PoolInspection,
  RunningQuery,
} from './diagnostics/inspection.ts';
export type { PlanStep } from './query/explain.ts';
export { type HealthOptions, type PoolHealth } from './database/health.ts';
export { type EvictionReason, type PoolStats, type WaitStats } from './diagnostics/stats.ts';
export { type Clock } from './waiting/deadline.ts';
export {
  AcquireTimeoutError,
  BusyError,
  ConnectionLostError,
  DriverConflictError,
  DriverMissingError,
  InvalidArgumentError,
  LeaseEndedError,
  NameTakenError,
  OpenError,
  OperationTimeoutError,
  OutcomeUnknownError,
  PoolClosedError,
  PoolOverloadedError,
  RetryableError,
  SqliteError,
  SqlitePoolError,
  StatementTimeoutError,
  TransactionActiveError,
  TransactionLostError,
  UnhealthyError,
  UnsupportedError,
  type AcquireCounts,
  type BrokenConstraint,
  type AcquirePhase,
  type ErrorCode,
  type LostOutcome,
  type OpenFailure,
} from './errors.ts';
