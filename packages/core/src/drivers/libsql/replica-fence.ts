import { randomInt } from 'node:crypto';
import { systemClock } from '../../waiting/deadline.ts';
import {
  batchIn,
  statementIn,
  type Answer,
  type OpenStream,
  type Step,
  type Stream,
  type StreamRequest,
  type WireValue,
} from './protocol.ts';
import { plainStep } from './steps.ts';

/**
 * Random marks, the newest last. They are in the data, so that nothing but a copy of the data can have one: the positions in the
 * log of a primary begin anew after a crash. A number that grows is not enough. A replica can have a write that the primary has
 * lost in the crash, and the primary would then give the same number again.
 */
const CREATE =
  'CREATE TABLE IF NOT EXISTS _sqlite_pool_fence (seq INTEGER PRIMARY KEY AUTOINCREMENT, mark INTEGER NOT NULL)';
const RAISE = 'INSERT INTO _sqlite_pool_fence (mark) VALUES (?) RETURNING mark';
const LOOK = 'SELECT mark FROM _sqlite_pool_fence WHERE mark = ?';
/** Keeps enough for every process that may use the primary. One whose mark is gone makes another. */
const FORGET = 'DELETE FROM _sqlite_pool_fence WHERE seq <= (SELECT max(seq) - 1000 FROM _sqlite_pool_fence)';

function raiseSteps(): Step[] {
  const args = [integer(randomInt(1, MOST_RANDOM))];
  const raise: Step = { stmt: { sql: RAISE, args, want_rows: true }, condition: { type: 'ok', step: 0 } };
  return [plainStep(CREATE), raise, plainStep(FORGET, { type: 'ok', step: 1 })];
}

/** `randomInt` takes no larger range. */
const MOST_RANDOM = 2 ** 48 - 1;

function integer(value: number): WireValue {
  return { type: 'integer', value: String(value) };
}

/** Between two tries to raise the fence, in milliseconds. */
const PAUSE_MS = 250;
/** After so long without an answer of a replica the position that is asked for may be of a log that is gone. */
const LONGEST_LATE_MS = 5000;

/** What a replica must have, to be read: the mark of the fence, and so much of the log. */
export interface Demand {
  readonly epoch: number;
  readonly position: number;
}

/** The request for the mark of a fence. */
export function lookAtFence({ epoch, position }: Demand): StreamRequest {
  return {
    type: 'execute',
    stmt: { sql: LOOK, args: [integer(epoch)], want_rows: true },
    replication_index: String(position),
  };
}

/** The mark in an answer; -1 if there is none. */
export function fenceIn(answer: Answer | undefined): number {
  return numberIn(statementIn(answer)?.rows[0]?.[0]);
}

function numberIn(value: WireValue | undefined): number {
  return value?.type === 'integer' ? Number(value.value) : -1;
}

/**
 * What the replicas of a primary must have, so that a read sees every write that was acknowledged here before it.
 *
 * The primary tells with each answer where its log stands. After a crash that log begins anew, and a replica can stay behind in
 * the old one with a position that looks good. So after every loss of a stream to the primary the fence is raised: it gets a new mark,
 * and a replica is read only where it has that mark.
 */
export class Fence {
  readonly #open: OpenStream;
  readonly #longestLateMs: number;
  #users = 0;
  #epoch: number | undefined;
  #position = 0;
  /** A stream that tells whether the primary is still the one that the fence was raised at. */
  #watch: Stream | undefined;
  #losses = 0;
  #opened = 0;
  /** A stream to the primary was opened, and the watch has not answered since. */
  #isSuspect = false;
  #isRaising = false;
  #notBefore = 0;
  #lateSince: number | undefined;

  /**
   * @param open - Opens a stream to the primary.
   * @param longestLateMs - After so long without an answer of a replica the fence is raised again, in milliseconds.
   */
  constructor(open: OpenStream, longestLateMs: number = LONGEST_LATE_MS) {
    this.#open = open;
    this.#longestLateMs = longestLateMs;
  }

  /** What a replica must have now; `undefined` while that is not known, and nobody may read at one. */
  get demand(): Demand | undefined {
    if (this.#epoch === undefined) this.#raise();
    else if (!this.#isSuspect) return { epoch: this.#epoch, position: this.#position };
    return undefined;
  }

  /** A connection is there. */
  join(): void {
    this.#users += 1;
  }

  /** A connection has gone; with the last one the watch ends. */
  leave(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#watch?.destroy();
    this.#forget();
  }

  /** The log of the primary is known to have come so far. */
  note(position: number): void {
    this.#position = Math.max(this.#position, position);
  }

  /** A stream to the primary was opened. It may be another server by now: two of them cannot both answer. */
  opened(): void {
    const mark = (this.#opened += 1);
    const watch = this.#watch;
    if (watch === undefined) return;
    this.#isSuspect = true;
    watch.send([{ type: 'get_autocommit' }]).then(
      () => {
        if (this.#watch === watch && this.#opened === mark) this.#isSuspect = false;
      },
      () => {
        if (this.#watch === watch) this.lost();
      },
    );
  }

  /** A stream to the primary has ended, and not because of this process. */
  lost(): void {
    const watch = this.#watch;
    this.#forget();
    watch?.destroy();
  }

  /** A replica has answered in time, or not. */
  answered(inTime: boolean): void {
    const now = systemClock.now();
    this.#lateSince = inTime ? undefined : (this.#lateSince ?? now);
    if (this.#lateSince !== undefined && now - this.#lateSince > this.#longestLateMs) this.lost();
  }

  #forget(): void {
    this.#losses += 1;
    this.#epoch = undefined;
    this.#position = 0;
    this.#watch = undefined;
    this.#isSuspect = false;
    this.#lateSince = undefined;
  }

  /** Once, and not again soon if it fails: the next read that could use a replica tries again. */
  #raise(): void {
    if (this.#isRaising || systemClock.now() < this.#notBefore) return;
    this.#isRaising = true;
    this.#notBefore = systemClock.now() + PAUSE_MS;
    void this.#raiseOnce().finally(() => (this.#isRaising = false));
  }

  async #raiseOnce(): Promise<void> {
    const [losses, opened] = [this.#losses, this.#opened];
    let watch: Stream | undefined;
    try {
      watch = await this.#open();
      const [answer] = await watch.send([{ type: 'batch', batch: { steps: raiseSteps() } }]);
      const epoch = numberIn(batchIn(answer)?.step_results[1]?.rows[0]?.[0]);
      if (epoch > 0 && losses === this.#losses && this.#users > 0) {
        this.#watch = watch;
        this.#epoch = epoch;
        this.note(watch.position ?? 0);
        if (opened !== this.#opened) this.opened();
        return;
      }
    } catch {
      // Reads go to the primary meanwhile, and say what is wrong.
    }
    watch?.destroy();
  }
}
