import { atEndOfTurn } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Member } from './group.ts';
import { learned } from './stats.ts';

/** About what a caller takes for what it does next, in milliseconds. */
const CALLER_MS = 0.005;

/** So many are told at once, however short their write was. */
const FEWEST = 8;

/** What became of a write, to be told to everyone who waits for it: a result for each, or an error for all. */
export interface Outcome {
  readonly members: readonly Member[];
  readonly results?: readonly Result[];
  readonly error?: unknown;
}

/** A caller whose write has ended, and who has not been told how. */
interface Pending {
  readonly member: Member;
  readonly result: Result | undefined;
  readonly error: unknown;
}

/**
 * Tells callers what became of their writes, in the order in which those ended, and not too many in one turn of the event loop.
 *
 * What a caller does next runs before the event loop goes on. With sixty callers that keeps everything else of the process
 * waiting, again and again, and the connection idle. So no more are told at once than take about as long as their write took: what
 * those write next is under way while the others are told. After a COMMIT that has waited for the disk that is all of them, because
 * the next COMMIT should be for all of them too.
 */
export class Telling {
  readonly #pending: Pending[] = [];
  /** How long writes take: close to the shortest, because what is measured includes what callers of an earlier one kept waiting. */
  #writeMs: number | undefined;
  #state: 'open' | 'closed' = 'open';

  /** Whether someone has still to be told: whoever writes now must not hear of it before them. */
  get isUnderWay(): boolean {
    return this.#pending.length > 0;
  }

  /** Tells the outcomes of writes that took `ms` together, if that is known. From now on all their members are settled, told or not. */
  tell(outcomes: readonly Outcome[], ms?: number): void {
    const isFirst = !this.isUnderWay;
    if (ms !== undefined) this.#writeMs = learned(this.#writeMs, ms);
    for (const { members, results, error } of outcomes) {
      members.forEach((member, at) => {
        if (member.settle()) this.#pending.push({ member, result: results?.[at], error });
      });
    }
    if (this.#state === 'closed') this.#tellFirst(Infinity);
    else if (isFirst) this.#tellSome();
  }

  /** The pool is told to close: whoever waits for that must not hear of its write after it. */
  close(): void {
    this.#state = 'closed';
    this.#tellFirst(Infinity);
  }

  readonly #tellSome = (): void => {
    this.#tellFirst(Math.max(FEWEST, Math.floor((this.#writeMs ?? 0) / CALLER_MS)));
    if (this.isUnderWay) atEndOfTurn(this.#tellSome);
  };

  #tellFirst(count: number): void {
    for (const { member, result, error } of this.#pending.splice(0, count)) member.tell(result, error);
  }
}
