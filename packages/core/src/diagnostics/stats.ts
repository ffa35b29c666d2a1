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
 * Why the pool retired a connection.
 *
 * - `idle`: it was idle for too long.
 * - `evicted`: by `evict()`.
 * - `invalid`: its health check failed, or its driver reported it as broken.
 * - `dirty`: its user left state on it, or its reset failed.
 * - `discarded`: by its user, or by a `close()` that abandoned it.
 * - `replaced`: the database file was replaced.
 * - `closed`: with the pool.
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
  /**
   * The name of the driver: `node:sqlite`, `better-sqlite3`, `sqlite3`, that of your own driver, or
   * `connectionFactory`.
   */
  readonly driver: string;
  /** The connections that take a place in the pool: idle, leased, opening, validating or closing. */
  readonly size: number;
  readonly idle: number;
  readonly leased: number;
  readonly opening: number;
  /** The connections under a health check: for a waiter, or after a call on them has failed badly. */
  readonly validating: number;
  readonly closing: number;
  /** The abandoned connections, on which a native call does not return. Up to `poolSize` of them take no place. */
  readonly quarantined: number;
  /** The acquires that wait for a connection. */
  readonly waiting: number;
  /** Whether a write of this process runs on the database file, of this pool or of another one on the same file. */
  readonly writerHeld: boolean;
  /** The writes that wait for the write lock, with or without a connection. */
  readonly writersWaiting: number;
  /** The connections acquired since the pool was created. */
  readonly acquires: number;
  /** The acquires that reached `acquireTimeoutMs`. */
  readonly acquireTimeouts: number;
  /** The connections opened. */
  readonly opens: number;
  /** The opens that failed. */
  readonly openFailures: number;
  /** The connections retired, by reason. */
  readonly evictions: Readonly<Record<EvictionReason, number>>;
  /** The leases reported as leaked: older than `leakWarningMs`, or collected as garbage without a release. */
  readonly leaks: number;
  /**
   * The size of the WAL in bytes at the last check, at most a second ago; 0 before the first check, or if the driver
   * does not know it.
   */
  readonly walBytes: number;
  /** How long acquires waited. */
  readonly wait: WaitStats;
}

/** Bucket `i` counts waits up to 2^(i-3) ms: from 1/8 ms to about 35 minutes. The last bucket counts all longer waits. */
const BUCKETS = 25;
const SMALLEST_EXPONENT = -3;

/** Counts durations in power-of-two buckets, with constant memory under any load. */
export class WaitHistogram {
  readonly #buckets = new Float64Array(BUCKETS);
  #count = 0;
  #total = 0;
  #max = 0;

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
