/**
 * The channels on which every pool of the process publishes what it does, with their types: see docs/sight.md.
 *
 * @module
 */
export {
  acquireChannel,
  checkpointChannel,
  closeChannel,
  evictChannel,
  leakChannel,
  openChannel,
  queryChannel,
  releaseChannel,
  slowChannel,
  transactionChannel,
  type AcquireEvent,
  type CheckpointEvent,
  type CloseEvent,
  type EvictEvent,
  type LeakEvent,
  type OpenEvent,
  type OperationChannel,
  type OperationEvent,
  type OperationMoment,
  type PlainChannel,
  type PoolEvent,
  type QueryEvent,
  type ReleaseEvent,
  type RequestOrigin,
  type TransactionEvent,
} from './diagnostics/events.ts';
export { querySummary } from './query/summary.ts';
