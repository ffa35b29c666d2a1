import { learned } from './stats.ts';

/** How often what seems not to pay is measured again, in groups: once in so many it costs next to nothing. */
const MEASURE_EVERY = 32;

/**
 * Whether a shared COMMIT pays, which only measuring tells. It saves a COMMIT for each write but one, and costs a BEGIN and a
 * COMMIT in calls of their own. With `synchronous = FULL` a COMMIT waits for the disk, and two writes are enough; with
 * NORMAL it hardly costs more than the call, and it takes many.
 */
export class CommitCosts {
  /** Milliseconds of a write alone, of one in a shared transaction, and of the BEGIN and COMMIT of that. */
  #alone: number | undefined;
  #inside: number | undefined;
  #ends: number | undefined;
  #groupsSinceAlone = 0;
  #groupsSinceShared = 0;

  /** Whether one write should be run alone, to know how long that takes. */
  isAloneStale(): boolean {
    this.#groupsSinceAlone += 1;
    return this.#groupsSinceAlone > MEASURE_EVERY;
  }

  /** Whether so many writes are likely to be done sooner with one COMMIT. */
  favourSharing(writes: number): boolean {
    if (writes < 2) return false;
    this.#groupsSinceShared += 1;
    const [alone, inside, ends] = [this.#alone, this.#inside, this.#ends];
    if (alone === undefined || inside === undefined || ends === undefined) return true;
    return writes * alone >= writes * inside + ends || this.#groupsSinceShared > MEASURE_EVERY;
  }

  ranAlone(ms: number): void {
    this.#alone = learned(this.#alone, ms);
    this.#groupsSinceAlone = 0;
  }

  shared(insideMs: number, endsMs: number): void {
    this.#inside = learned(this.#inside, insideMs);
    this.#ends = learned(this.#ends, endsMs);
    this.#groupsSinceShared = 0;
  }
}
