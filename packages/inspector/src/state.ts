/** What the server of the page sends to it as JSON. Has no row and no bound value. */
import type { PoolInspection, PoolStats } from '@sqlite-pool/core';

/** The body of `state.json`. */
export interface State {
  /** When it was made, in milliseconds since 1970. */
  readonly at: number;
  /** When the inspector began to listen. */
  readonly since: number;
  /** The version of Node.js. */
  readonly node: string;
  /** The version of this package. */
  readonly version: string;
  /** The names of all pools; the index is the number of the pool. */
  readonly pools: readonly string[];
  readonly pool: PoolState;
}

/** One pool. */
export interface PoolState {
  readonly number: number;
  readonly name: string;
  readonly database: string | null;
  readonly driver: string;
  readonly closed: boolean;
  readonly counts: Counts;
  readonly limits: Limits;
  readonly facts: Facts;
  readonly connections: readonly ConnectionState[];
  readonly waiters: List<Waiter>;
  readonly lastMinute: Minute;
  /** One for each second, oldest first. Only those that the page does not have yet, and the last one again. */
  readonly seconds: readonly SecondState[];
  readonly statements: List<StatementState>;
  readonly groups: Groups;
  readonly transactions: {
    readonly committed: number;
    readonly rolledBack: number;
    readonly unknown: number;
  };
  readonly events: readonly EventState[];
}

/** The first entries of a list that may be long. */
export interface List<T> {
  readonly total: number;
  readonly shown: readonly T[];
}

/** Every count of the pool. Of the waits, only what the page shows. */
export interface Counts extends Omit<PoolStats, 'driver' | 'wait'> {
  readonly wait: Pick<PoolStats['wait'], 'p50Ms' | 'p95Ms' | 'maxMs'>;
}

/** `null` is no limit. */
export type Limits = { readonly [Name in keyof PoolInspection['limits']]: number | null };

/** What SQLite says of itself and of the database. */
export interface Facts {
  /** The version of SQLite; `null` as long as it is not known. */
  readonly sqlite: string | null;
  readonly pragmas: readonly (readonly [name: string, value: string])[];
  /** Why there are none. */
  readonly note: string | null;
}

/** The request behind a call. */
export interface Origin {
  readonly id: string | null;
  readonly route: string | null;
}

export interface ConnectionState {
  readonly id: number;
  readonly state: string;
  readonly origin: Origin | null;
  readonly heldMs: number | null;
  readonly stack: string | null;
  readonly sql: string | null;
  readonly phase: string | null;
  readonly ageMs: number | null;
  readonly inTransaction: boolean;
  readonly holdsWriteLock: boolean;
  readonly reading: string | null;
}

export interface Waiter {
  readonly for: 'a connection' | 'the write lock';
  readonly what: string;
  readonly sql: string | null;
  readonly origin: Origin | null;
  readonly ageMs: number;
}

/** What ended in the last 60 seconds. */
export interface Minute {
  readonly calls: number;
  readonly errors: number;
  readonly busyRetries: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** The seconds that are behind these figures: fewer than 60 in the first minute. */
  readonly seconds: number;
}

/** What ended in one second: when it began in seconds since 1970, calls, errors, p50 and p95 in milliseconds. */
export type SecondState = readonly [
  second: number,
  calls: number,
  errors: number,
  p50Ms: number,
  p95Ms: number,
];

/** The keys by which statements can be sorted. */
export const STATEMENT_ORDERS = ['total', 'count', 'p50', 'p95', 'max', 'errors'] as const;
export type StatementOrder = (typeof STATEMENT_ORDERS)[number];

export interface StatementState {
  readonly id: number;
  readonly summary: string;
  readonly sql: string;
  readonly kind: string;
  readonly count: number;
  readonly errors: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly maxMs: number;
  readonly totalMs: number;
  /** The part of `totalMs` that was spent waiting for a connection or a lock. */
  readonly waitMs: number;
}

/** Single writes by the size of the group with which they shared a COMMIT. */
export interface Groups {
  readonly sizes: readonly { readonly from: number; readonly to: number | null; readonly writes: number }[];
  readonly writes: number;
  readonly commits: number;
}

export interface EventState {
  readonly id: number;
  /** How often it has happened, with this statement and of this route. */
  readonly times: number;
  /** When it happened last, in milliseconds since 1970. */
  readonly at: number;
  readonly kind: 'evict' | 'leak' | 'slow' | 'checkpoint' | 'open' | 'acquire' | 'lease' | 'close';
  readonly isBad: boolean;
  readonly text: string;
  readonly sql: string | null;
  readonly origin: Origin | null;
}

/** The body of `plan.json`: the steps, or why there are none. */
export interface Plan {
  readonly steps: readonly PlanRow[];
  readonly note: string | null;
}

/** A line of `EXPLAIN QUERY PLAN`, with its depth in the tree. */
export interface PlanRow {
  readonly depth: number;
  readonly detail: string;
}
