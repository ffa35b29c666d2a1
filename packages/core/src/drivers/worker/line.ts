import { InvalidArgumentError } from '../../errors.ts';
import { ERROR, type AnswerHead, type AnswerReader } from './answers.ts';
import { CLOSE } from './calls.ts';
import { bindingError } from './errors.ts';
import { CALL_NUMBERS, SENT, slotWord, WITHDRAWN } from './protocol.ts';
import type { SentCall, Thread } from './thread.ts';

/** What a line needs of its thread. */
export type LineThread = Pick<
  Thread,
  'send' | 'withdrawn' | 'remove' | 'leave' | 'join' | 'look' | 'hasEnded'
>;

/** What a line needs of its handle. */
interface LineHandle {
  readonly thread: LineThread;
  readonly isUsable: boolean;
  readonly interrupt: ((line: number) => void) | undefined;
  rest(line: Line): void;
  leave(line: Line): Promise<void>;
  retire(): void;
}

/** A call, whichever line it is sent on. */
export interface Request {
  readonly call: SentCall;
  /** Whether its like took long the last time. */
  readonly long: boolean;
  /** Sends it somewhere else, if it has not begun. */
  readonly move?: (() => void) | undefined;
  /** Reads the answer, all of it. */
  answer(head: AnswerHead, answers: AnswerReader): void;
  /** The thread has ended. `begun`: the call may have been done. */
  lose(reason: unknown, begun: boolean): void;
}

/** A way to a database handle in a thread, for one call at a time. */
export class Line {
  readonly handle: LineHandle;
  readonly number: number;
  readonly #slot: Int32Array;
  #calls = 0;
  /** The number of the call under way. */
  #running: number | undefined;
  #inTransaction = false;

  constructor(handle: LineHandle, number: number, slot: Int32Array) {
    this.handle = handle;
    this.number = number;
    this.#slot = slot;
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  /** The worker says so with every answer. */
  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  /** Sends a call. Throws if it cannot be sent; then nothing was. */
  send(request: Request): void {
    if (this.isBusy) throw new InvalidArgumentError('A connection takes one call at a time.');
    const number = (this.#calls = (this.#calls + 1) % CALL_NUMBERS);
    Atomics.store(this.#slot, 0, slotWord(number, SENT));
    this.handle.thread.send(this.number, number, request.call, {
      sentAt: performance.now(),
      long: request.long,
      move: request.move,
      isWaiting: () => Atomics.load(this.#slot, 0) === slotWord(number, SENT),
      answer: (head, answers) => {
        this.#running = undefined;
        this.#inTransaction = head.inTransaction;
        request.answer(head, answers);
        this.handle.rest(this);
      },
      lose: (reason) => {
        const begun = !this.#takeBack(number);
        this.#running = undefined;
        request.lose(reason, begun);
        this.#inTransaction = false;
      },
    });
    this.#running = number;
  }

  /** Takes back the call under way if it has not begun: it has no answer, and has done nothing. Says whether it did. */
  withdraw(): boolean {
    if (this.#running === undefined || !this.#takeBack(this.#running)) return false;
    this.#running = undefined;
    this.handle.thread.withdrawn(this.number);
    this.handle.rest(this);
    return true;
  }

  /** Interrupts the call under way, where that can be done. */
  interrupt(): void {
    if (this.#running !== undefined) this.handle.interrupt?.(this.number);
  }

  /** Closes it, and the handle with it. */
  end(): Promise<void> {
    return new Promise((done, fail) => {
      this.send({
        call: { kind: CLOSE, detail: 0, statements: [] },
        long: false,
        answer: ({ kind }, answers) => {
          if (kind === ERROR) fail(bindingError(answers.error()));
          else done();
        },
        // A thread that has ended has closed what it had.
        lose: () => {
          done();
        },
      });
    });
  }

  /** The worker begins a call by changing the same word: one of the two comes first. */
  #takeBack(number: number): boolean {
    return (
      Atomics.compareExchange(this.#slot, 0, slotWord(number, SENT), slotWord(number, WITHDRAWN)) ===
      slotWord(number, SENT)
    );
  }
}
