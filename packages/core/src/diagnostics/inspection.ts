import type { RequestOrigin } from './events.ts';
import type { PoolStats } from './stats.ts';

/**
 * One connection of a pool, as it is now.
 *
 * @example const busy = (await pool.inspect()).connections.filter(({ state }) => state === 'leased');
 */
export interface ConnectionInspection {
  /** A number that no other connection of this pool has had. */
  readonly id: number;
  readonly state: 'idle' | 'validating' | 'leased' | 'closing' | 'quarantined' | 'closed';
  /** The lease that holds it; `undefined` if a single statement uses it, or nothing. */
  readonly lease: LeaseInspection | undefined;
  /** The call that runs or waits on it; `undefined` if there is none, or if nothing listened when it began. */
  readonly query: RunningQuery | undefined;
  readonly inTransaction: boolean;
  /** Whether it holds the write lock of the file. */
  readonly holdsWriteLock: boolean;
  /** What keeps it at an old snapshot of the file, which the WAL must keep too. */
  readonly reading: 'a transaction' | 'an open cursor' | 'a statement' | undefined;
}

/** A lease in force. */
export interface LeaseInspection {
  readonly request: RequestOrigin | undefined;
  /** How long it has been held, in milliseconds; `undefined` if nothing listened when it began. */
  readonly heldMs: number | undefined;
  /** The stack of its acquire, if `leakWarningMs` is set. */
  readonly stack: string | undefined;
}

/** A call that has not ended. */
export interface RunningQuery {
  readonly sql: string;
  readonly method: string;
  readonly phase: string;
  readonly request: RequestOrigin | undefined;
  /** How long ago it was made, in milliseconds. */
  readonly ageMs: number;
}

/**
 * A pool, as it is now: for a page or a log. Has no row and no bound value.
 *
 * @example console.table(pool.inspect().connections);
 */
export interface PoolInspection {
  readonly poolName: string;
  readonly database: string | undefined;
  readonly driver: string;
  readonly stats: PoolStats;
  /** The options that bound the pool, with their defaults filled in. */
  readonly limits: {
    readonly poolSize: number;
    readonly minIdle: number;
    readonly maxWaiting: number;
    readonly acquireTimeoutMs: number;
    readonly statementTimeoutMs: number;
    readonly maxLeaseMs: number;
    readonly walLimitBytes: number;
  };
  readonly connections: readonly ConnectionInspection[];
}
