import type { Result } from './driver.ts';
import type { Member } from './group.ts';

/** About how long a caller takes for what it does next, in milliseconds: only how many of them fit into a time is taken from it. */
const CALLER_MS = 0.01;

/** So many are told at once, however short their write was. */
const FEWEST = 8;

/** What became of a write, to be told to everyone who waits for it. */
export interface Outcome {
  readonly members: readonly Member[];
  readonly results?: readonly Result[];
  readonly error?: unknown;
}

/** A caller who is about to be told that its write is done. */
interface Pending {
  readonly member: Member;
  readonly result: Result;
}

/**
 * Tells callers what became of their writes: in order, and only some of them in one turn of the event loop.
 *
 * What a caller does next runs before the event loop goes on. With sixty callers that keeps everything else of the process
 * waiting, again and again, and the connection idle. So no more are told at once than take about as long as their write took: what
 * those write next is under way while the others are told. After a COMMIT that has waited for the disk that is all of them, because
 * the next COMMIT should be for all of them too.
 */
export class Telling {
  readonly #pending: Pending[] = [];
  #atOnce = FEWEST;
  #state: 'open' | 'closed' = 'open';

  /** Tells an outcome of a write that took `ms`. From now on its members are settled, told or not. */
  tell({ members, results, error }: Outcome, ms: number): void {
    this.#atOnce = Math.max(FEWEST, ms / CALLER_MS);
    let left = this.#state === 'closed' ? Infinity : this.#pending.length > 0 ? 0 : this.#atOnce;
    members.forEach((member, at) => {
      const result = results?.[at];
      if (result === undefined) member.reject(error);
      else if (!member.settle()) return;
      else if (left > 0) member.tell(result);
      else this.#later({ member, result });
      left -= 1;
    });
  }

  /** The pool is told to close: whoever waits for that must not hear of its write after it. */
  close(): void {
    this.#state = 'closed';
    this.#tellFirst(Infinity);
  }

  #later(pending: Pending): void {
    if (this.#pending.length === 0) setImmediate(this.#tellSome);
    this.#pending.push(pending);
  }

  readonly #tellSome = (): void => {
    this.#tellFirst(this.#atOnce);
    if (this.#pending.length > 0) setImmediate(this.#tellSome);
  };

  #tellFirst(count: number): void {
    for (const { member, result } of this.#pending.splice(0, count)) member.tell(result);
  }
}
