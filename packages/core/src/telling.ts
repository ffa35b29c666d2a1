import { atEndOfTurn } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Member } from './group.ts';

/** So many are told in one turn of the event loop. */
const AT_ONCE = 8;

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
 * Tells callers what became of their writes, in the order in which those ended, and a few in each turn of the event loop: what a
 * caller does next runs before the event loop goes on, and sixty callers would keep everything else of the process waiting, again
 * and again.
 *
 * `telling`: more have come than may be told at once, or whoever was told last has not yet gone on. `closed`: all are told at once.
 */
export class Telling {
  readonly #pending: Pending[] = [];
  #state: 'idle' | 'telling' | 'closed' = 'idle';
  readonly #onEnd: (() => void)[] = [];

  /** Whether someone has still to be told: whoever writes now must not hear of it before them. */
  get isUnderWay(): boolean {
    return this.#state === 'telling';
  }

  /** From now on all members of the outcomes are settled, told or not. */
  tell(outcomes: readonly Outcome[]): void {
    for (const { members, results, error } of outcomes) {
      members.forEach((member, at) => {
        if (member.settle()) this.#pending.push({ member, result: results?.[at], error });
      });
    }
    if (this.#state === 'telling') return;
    this.#tellFirst(this.#state === 'closed' ? Infinity : AT_ONCE);
    if (this.#pending.length === 0) return;
    this.#state = 'telling';
    atEndOfTurn(this.#goOn);
  }

  /** Calls back once, at the end of the turn in which the last was told, or at once if nobody has to be. */
  onceEnded(callback: () => void): void {
    if (this.isUnderWay) this.#onEnd.push(callback);
    else callback();
  }

  /** The pool is told to close: whoever waits for that must not hear of its write after it. */
  close(): void {
    this.#end('closed');
    this.#tellFirst(Infinity);
  }

  readonly #goOn = (): void => {
    if (this.#pending.length === 0) {
      if (this.isUnderWay) this.#end('idle');
      return;
    }
    this.#tellFirst(AT_ONCE);
    atEndOfTurn(this.#goOn);
  };

  #end(state: 'idle' | 'closed'): void {
    this.#state = state;
    for (const callback of this.#onEnd.splice(0)) callback();
  }

  #tellFirst(count: number): void {
    for (const { member, result, error } of this.#pending.splice(0, count)) member.tell(result, error);
  }
}
