/**
 * How long acquires waited, in milliseconds. Percentiles are upper bounds: the edge of a power-of-two bucket.
 *
 * @example const { p95Ms }: WaitStats = pool.stats().wait;
 */
export interface WaitStats {
  readonly count: number;
  readonly totalMs: number;
  readonly maxMs: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

/**
 * Why a connection was retired: `idle` for too long; `evicted` by `evict()`; `invalid` by its health check or its driver;
 * `dirty` because of what its user left or a reset that failed; `discarded` by its user or a `close()` that gave it up;
 * `replaced` with its file; `closed` with the pool.
 *
 * @example const reason: EvictionReason = 'dirty';
 */
export type EvictionReason = 'idle' | 'evicted' | 'invalid' | 'dirty' | 'discarded' | 'replaced' | 'closed';

/**
 * A snapshot of a pool.
 *
 * @example const { size, idle, waiting }: PoolStats = pool.stats();
 */
export interface PoolStats {
  /** The name of the driver: `node:sqlite`, `better-sqlite3`, `sqlite3`, that of your own, or `connectionFactory`. */
  readonly driver: string;
  /** Connections that take a place in the pool: idle, leased, opening, being checked or closing. */
  readonly size: number;
  readonly idle: number;
  readonly leased: number;
  readonly opening: number;
  /** Connections under a health check: on their way to a waiter, or after a call on them has failed badly. */
  readonly validating: number;
  readonly closing: number;
  /** Connections given up because a native call on them does not return. They take no place, up to `poolSize` of them. */
  readonly quarantined: number;
  /** Acquires that wait for a connection. */
  readonly waiting: number;
  /** Whether a write of this process runs on the database file, of this pool or another one on the same file. */
  readonly writerHeld: boolean;
  /** Writes that wait for their turn, with or without a connection. */
  readonly writersWaiting: number;
  /** Connections lent since the pool was created. */
  readonly acquires: number;
  /** Acquires that ran into `acquisitionTimeoutMs`. */
  readonly acquireTimeouts: number;
  /** Connections opened. */
  readonly opens: number;
  /** Opens that failed. */
  readonly openFailures: number;
  /** Connections retired, by reason. */
  readonly evictions: Readonly<Record<EvictionReason, number>>;
  /** Leases reported as leaked: older than `leakWarningMs`, or collected as garbage without a release. */
  readonly leaks: number;
  /** How large the WAL was when it was last looked at, at most a second ago; 0 before, and if the driver cannot tell. */
  readonly walBytes: number;
  /** How long acquires waited. */
  readonly wait: WaitStats;
}

/** Bucket `i` counts waits up to 2^(i-3) ms: from 1/8 ms to about 35 minutes, and the last one whatever is longer. */
const BUCKETS = 25;
const SMALLEST_EXPONENT = -3;

/** Counts durations in power-of-two buckets: constant memory, whatever the load. */
export class WaitHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;
  #total = 0;
  #max = 0;

  /** Adds one wait. */
  add(ms: number): void {
    this.#count += 1;
    this.#total += ms;
    if (ms > this.#max) this.#max = ms;
    const exponent = ms > 0 ? Math.ceil(Math.log2(ms)) : SMALLEST_EXPONENT;
    const bucket = Math.min(Math.max(exponent - SMALLEST_EXPONENT, 0), BUCKETS - 1);
    this.#buckets[bucket] = Number(this.#buckets[bucket]) + 1;
  }

  /** The distribution so far. */
  snapshot(): WaitStats {
    return {
      count: this.#count,
      totalMs: this.#total,
      maxMs: this.#max,
      p50Ms: this.#percentile(0.5),
      p95Ms: this.#percentile(0.95),
      p99Ms: this.#percentile(0.99),
    };
  }

  #percentile(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    const bucket = this.#buckets.findIndex((inBucket) => (left -= inBucket) <= 0);
    const edge = bucket === BUCKETS - 1 ? Infinity : 2 ** (bucket + SMALLEST_EXPONENT);
    return Math.min(edge, this.#max);
  }
}

/**
 * An estimate after one more measurement: it falls fast and rises slowly, because what takes long once may have waited for the
 * machine.
 */
export function learned(before: number | undefined, next: number): number {
  if (before === undefined) return next;
  return next < before ? (before + next) / 2 : before + (next - before) / 8;
}
