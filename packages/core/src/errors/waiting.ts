import { RetryableError, SqlitePoolError } from './base.ts';

/**
 * The pool is closed, or closing. It leases no connections any more.
 *
 * @example if (error instanceof PoolClosedError) return; // the program is about to end
 */
export class PoolClosedError extends RetryableError {
  constructor() {
    super('POOL_CLOSED', 'The pool is closed. Create a new one, or stop using it before you close it.');
  }
}

/**
 * The queue of the pool, or of one lease or transaction, is full (`maxWaiting`). The pool refused this call at once.
 *
 * @example if (error instanceof PoolOverloadedError) response.status(503).end();
 */
export class PoolOverloadedError extends RetryableError {
  constructor(maxWaiting: number, where: 'pool' | 'connection' = 'pool') {
    super(
      'POOL_OVERLOADED',
      where === 'pool'
        ? `The pool is overloaded: ${String(maxWaiting)} acquires wait already (maxWaiting). Try again later.`
        : `The connection is overloaded: ${String(maxWaiting)} calls of its lease or transaction wait already (maxWaiting). ` +
            'Await some of them before you make more, or use batch().',
    );
  }
}

/**
 * What an acquire was waiting for at its deadline.
 *
 * @example const phase: AcquirePhase = 'write';
 */
export type AcquirePhase = 'wait' | 'open' | 'validate' | 'write';

/**
 * The state of the pool when an acquire reached its deadline.
 *
 * @example const { leased, waiting }: AcquireCounts = error.counts;
 */
export interface AcquireCounts {
  readonly poolSize: number;
  readonly leased: number;
  readonly idle: number;
  readonly opening: number;
  readonly waiting: number;
}

const PHASES: Record<AcquirePhase, string> = {
  wait: 'every connection was in use',
  open: 'a connection was still being opened',
  validate: 'an idle connection was still being checked',
  write: 'another write held the database',
};

/**
 * Within `acquireTimeoutMs`, no connection became free, or the write lock did not become free.
 *
 * `phase` says what was missing. In phase `write` the usual cause is a transaction that takes long, or a lease with a
 * `BEGIN` of its own whose holder also writes on the pool. `cause`, if any, is the newest error of opening a connection.
 * `holders` has the stacks of the leases in force, when `leakWarningMs` is on.
 *
 * @example if (error instanceof AcquireTimeoutError) console.error(error.phase, error.counts, error.holders);
 */
export class AcquireTimeoutError extends RetryableError {
  /** What the acquire was waiting for at the deadline. */
  readonly phase: AcquirePhase;
  /** The state of the pool at that moment. */
  readonly counts: AcquireCounts;
  /**
   * The stack of the acquire of each lease in force: empty unless `leakWarningMs` is on. Not enumerable, because it has
   * file paths.
   */
  declare readonly holders: readonly string[];

  constructor(
    timeoutMs: number,
    phase: AcquirePhase,
    counts: AcquireCounts,
    holders: readonly string[],
    cause?: unknown,
  ) {
    const { leased, idle, opening, poolSize, waiting } = counts;
    super(
      'ACQUIRE_TIMEOUT',
      `The acquire took longer than ${String(Math.round(timeoutMs))} ms: ${PHASES[phase]} ` +
        `(leased ${String(leased)}, idle ${String(idle)}, opening ${String(opening)} of ${String(poolSize)}; ` +
        `waiting ${String(waiting)}).` +
        (phase === 'write' ? ' Inside a transaction, use its own handle, not the pool.' : ''),
      cause,
    );
    this.phase = phase;
    this.counts = counts;
    Object.defineProperty(this, 'holders', { value: holders });
  }
}

/**
 * An open, a health check, a reset, a rollback or a close took longer than `operationTimeoutMs`. Or a COMMIT did, of a
 * transaction that has written nothing.
 *
 * @example if (error instanceof OperationTimeoutError) console.error(pool.stats().quarantined);
 */
export class OperationTimeoutError extends SqlitePoolError {
  constructor(operation: string, timeoutMs: number) {
    super(
      'OPERATION_TIMEOUT',
      `The ${operation} of a connection took longer than ${String(timeoutMs)} ms (operationTimeoutMs).`,
    );
  }
}

/**
 * A health check of the pool failed, or took too long. `cause` holds the reason.
 *
 * @example pool.health().catch((error) => error instanceof UnhealthyError && restart());
 */
export class UnhealthyError extends RetryableError {
  constructor(what: string, cause: unknown) {
    super('UNHEALTHY', `${what} (details in error.cause).`, cause);
  }
}
