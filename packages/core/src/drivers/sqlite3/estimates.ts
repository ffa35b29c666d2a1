/** The estimated duration of a statement, in milliseconds. */
export interface Estimate {
  ms: number;
}

/** A call that takes longer than this, in milliseconds, is long. */
export const LONG_MS = 10;

/** The estimate for a statement that has never run. */
export const UNKNOWN_MS: number = Infinity;

/**
 * The upper limit for one measurement. The time of a call includes its wait for a thread and for the event loop. So one
 * long call proves little; the estimate becomes long after two in a row.
 */
const MOST_MS = 60;

/** Whether a statement is known to be short. */
export function isShort({ ms }: Estimate): boolean {
  return ms < LONG_MS;
}

/**
 * Learns from a call that took `ms` milliseconds. The estimate falls fast and rises slowly, because a single long time
 * may only be a wait for the machine.
 */
export function learn(estimate: Estimate, ms: number): void {
  const before = estimate.ms;
  const next = Math.min(ms, MOST_MS);
  if (before === UNKNOWN_MS) estimate.ms = next;
  else estimate.ms = next < before ? (before + next) / 2 : before + (next - before) / 8;
}

/**
 * Learns from a call that failed after `ms` milliseconds. A cancelled call shows only that the statement takes longer
 * than that.
 */
export function learnFromFailure(estimate: Estimate, ms: number): void {
  if (ms >= LONG_MS) estimate.ms = UNKNOWN_MS;
}

/** The limits of the texts to remember, in texts and in characters. */
const MOST_TEXTS = 1024;
const MOST_TEXT = 1_048_576;

/** The estimates of the statements of a pool, by text. It forgets the least recently prepared text first. */
export class Estimates {
  readonly #byText = new Map<string, Estimate>();
  #text = 0;

  /** The estimate for a text. All statements with this text share it. */
  of(sql: string): Estimate {
    const known = this.#byText.get(sql);
    if (known === undefined) this.#text += sql.length;
    else this.#byText.delete(sql);
    const estimate = known ?? { ms: UNKNOWN_MS };
    this.#byText.set(sql, estimate);
    for (const text of this.#byText.keys()) {
      if (this.#byText.size <= MOST_TEXTS && this.#text <= MOST_TEXT) break;
      this.#byText.delete(text);
      this.#text -= text.length;
    }
    return estimate;
  }
}
