/** Bucket 0 is up to 10 µs. Four buckets double the time, so a percentile is at most 9 % off. */
const SMALLEST_MS = 0.01;
const PER_DOUBLING = 4;
/** The last one is for more than two minutes. */
const BUCKETS = 96;

/** Counts durations in buckets: little memory, the same under any load. */
export class Latencies {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  get maxMs(): number {
    return this.#maxMs;
  }

  add(ms: number): void {
    const bucket = Math.floor(Math.log2(ms / SMALLEST_MS) * PER_DOUBLING);
    // Of a duration of 0, the logarithm is -Infinity.
    const index = bucket > 0 ? Math.min(bucket, BUCKETS - 1) : 0;
    this.#buckets[index] = Number(this.#buckets[index]) + 1;
    this.#count += 1;
    if (ms > this.#maxMs) this.#maxMs = ms;
  }

  /** Adds the durations of another one. */
  merge(other: Latencies): void {
    if (other.#count === 0) return;
    for (let index = 0; index < BUCKETS; index += 1) {
      this.#buckets[index] = Number(this.#buckets[index]) + Number(other.#buckets[index]);
    }
    this.#count += other.#count;
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs);
  }

  /** `share` is from 0 to 1. Returns milliseconds; 0 if nothing has been counted. */
  percentile(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    const bucket = this.#buckets.findIndex((count) => (left -= count) <= 0);
    return Math.min(SMALLEST_MS * 2 ** ((bucket + 0.5) / PER_DOUBLING), this.#maxMs);
  }
}
