import { atEndOfTurn, type Clock } from './deadline.ts';
import type { Result } from './driver.ts';
import type { Member } from './group.ts';

/** So many may be told in one turn of the event loop, whatever else it does. */
const AT_LEAST = 4;

/** What became of a write, to be told to everyone who waits for it: a result for each, or an error for all. */
export interface Outcome {
  readonly members: readonly Member[];
  readonly results?: readonly Result[];
  readonly error?: unknown;
}

/**
 * Tells callers what became of their writes, in the order in which those ended, and a few in each turn of the event loop: what a
 * caller does next runs before the event loop goes on, and sixty callers would keep everything else of the process waiting, again
 * and again.
 *
 * Where everything else takes longer than that, it is the callers who would wait, turn after turn. So they may take as long as the
 * rest of a turn does: telling at most doubles it.
 *
 * `telling`: more have come than may be told at once, or whoever was told last has not yet gone on. `timing`: all have, and the rest of this
 * turn is being timed. `closed`: all are told at once.
 */
export class Telling {
  readonly #clock: Clock;
  /** Their writes have ended, and they have not been told how. */
  readonly #pending: Member[] = [];
  #state: 'idle' | 'telling' | 'timing' | 'closed' = 'idle';
  readonly #onEnd: (() => void)[] = [];
  #atOnce = AT_LEAST;
  /** Who were told in the last turn: how many, and when. */
  readonly #slice = { count: 0, since: 0 };
  /** How long each of those takes who have been told, in milliseconds, as it was last measured. */
  #callerMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on all members of the outcomes are settled, told or not. */
  tell(outcomes: readonly Outcome[]): void {
    for (const { members, results, error } of outcomes)
      members.forEach((member, at) => member.settle(results?.[at], error) && this.#pending.push(member));
    if (this.#state === 'telling') return;
    if (this.#state === 'closed' || this.#pending.length <= AT_LEAST) {
      this.#tellFirst(Infinity);
      return;
    }
    if (this.#state === 'idle') {
      this.#slice.count = 0;
      this.#goOnLater(true);
    }
    this.#state = 'telling';
  }

  /** Resolves when all have been told; when they are many, they have gone on, too: what they write next is there. */
  async ended(): Promise<void> {
    if (this.#state === 'telling') await new Promise<void>((done) => this.#onEnd.push(done));
  }

  /** The pool is told to close: whoever waits for that must not hear of its write after it. */
  close(): void {
    this.#end('closed');
    this.#tellFirst(Infinity);
  }

  #end(state: 'timing' | 'closed'): void {
    this.#state = state;
    for (const callback of this.#onEnd.splice(0)) callback();
  }

  /** @param timed - Whether it is looked when those who will be told have gone on: not every time, since that takes time, too. */
  #goOnLater(timed: boolean): void {
    atEndOfTurn(this.#goOn);
    // Right behind it: between the two runs what the callers do, and nothing else.
    if (timed) atEndOfTurn(this.#haveGoneOn);
  }

  readonly #goOn = (): void => {
    if (this.#state === 'closed') return;
    const now = this.#clock.now();
    this.#learn(now);
    if (this.#state === 'timing') {
      this.#state = 'idle';
      return;
    }
    this.#slice.count = Math.min(this.#atOnce, this.#pending.length);
    this.#slice.since = now;
    this.#tellFirst(this.#slice.count);
    // They may be the last: twice as many as these is the most that will be told.
    this.#goOnLater(this.#pending.length <= 2 * this.#atOnce);
  };

  readonly #haveGoneOn = (): void => {
    if (this.#state !== 'telling') return;
    const { count, since } = this.#slice;
    this.#callerMs = (this.#clock.now() - since) / count;
    if (this.#pending.length === 0) this.#end('timing');
  };

  /** How many would take as long as the rest of the turn did; at most twice as many as before, which may have been an accident. */
  #learn(now: number): void {
    const { count, since } = this.#slice;
    if (count === 0 || this.#callerMs <= 0) return;
    const asLong = Math.floor((now - since) / this.#callerMs) - count;
    this.#atOnce = Math.max(AT_LEAST, Math.min(asLong, this.#atOnce * 2));
  }

  #tellFirst(count: number): void {
    for (const member of this.#pending.splice(0, count)) member.tell();
  }
}
