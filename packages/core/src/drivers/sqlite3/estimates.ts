import { learned } from '../../diagnostics/stats.ts';

/** How long a statement takes, in milliseconds, as far as that is known. */
export interface Estimate {
  ms: number;
}

/** A call that takes longer, in milliseconds, is a long one. */
export const LONG_MS = 10;

/** How long a statement takes that nobody has seen run. */
export const UNKNOWN_MS: number = Infinity;

/**
 * The longest that one call counts for. The time of a call includes what it waited for a thread and for the event loop, so
 * one that comes out long says little; it takes two in a row.
 */
const MOST_MS = 60;

/** Whether something is known to be short. */
export function isShort({ ms }: Estimate): boolean {
  return ms < LONG_MS;
}

/** Learns from a call that took `ms`. */
export function learn(estimate: Estimate, ms: number): void {
  const before = estimate.ms === UNKNOWN_MS ? undefined : estimate.ms;
  estimate.ms = learned(before, Math.min(ms, MOST_MS));
}

/** Learns from a call that failed after `ms`: one that was cut says only that it takes longer than that. */
export function learnFromFailure(estimate: Estimate, ms: number): void {
  if (ms >= LONG_MS) estimate.ms = UNKNOWN_MS;
}

/** Bounds on what is remembered, in texts and in characters. */
const MOST_TEXTS = 1024;
const MOST_TEXT = 1_048_576;

/** What is known of the statements of a pool, by text; the least recently prepared is forgotten first. */
export class Estimates {
  readonly #byText = new Map<string, Estimate>();
  #text = 0;

  /** The estimate for a text; all its statements share it. */
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
