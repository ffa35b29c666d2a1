import { InvalidArgumentError } from '../../errors.ts';
import type { Place } from '../../waiting/linked-list.ts';
import { ERROR, type AnswerHead, type AnswerReader } from './answers.ts';
import { CLOSE } from './calls.ts';
import { bindingError } from './errors.ts';
import { CALL_NUMBERS, known, SENT, slotWord, WITHDRAWN } from './protocol.ts';
import type { Pending, SentCall, Thread } from './thread.ts';

/** The part of a thread that a line needs. */
export type LineThread = Pick<
  Thread,
  'send' | 'withdrawn' | 'remove' | 'leave' | 'join' | 'look' | 'hasEnded'
>;

/** The part of a handle that a line needs. */
interface LineHandle {
  readonly thread: LineThread;
  readonly isUsable: boolean;
  readonly interrupt: ((line: number) => void) | undefined;
  rest(line: Line): void;
  leave(line: Line): Promise<void>;
  retire(): void;
}

/** A call, independent of its line. */
export interface Request {
  readonly call: SentCall;
  /** Whether a call with the same text took long the last time. */
  readonly long: boolean;
  /** Sends the call to another thread, if it has not begun. */
  readonly move?: (() => void) | undefined;
  /** Reads the whole answer. */
  answer(head: AnswerHead, answers: AnswerReader): void;
  /** The thread has ended. `begun`: the call may have been done. */
  lose(reason: unknown, begun: boolean): void;
}

/**
 * A path to a database handle in a thread, for one call at a time. So the line itself is the object that waits for the
 * answer.
 */
export class Line implements Pending {
  place: Place<Pending> | undefined;
  sentAt = 0;
  readonly handle: LineHandle;
  readonly number: number;
  readonly #slot: Int32Array;
  #calls = 0;
  /** The running call. */
  #request: Request | undefined;
  #inTransaction = false;

  constructor(handle: LineHandle, number: number, slot: Int32Array) {
    this.handle = handle;
    this.number = number;
    this.#slot = slot;
  }

  get isBusy(): boolean {
    return this.#request !== undefined;
  }

  /** Every answer of the worker contains this. */
  get inTransaction(): boolean {
    return this.#inTransaction;
  }

  get long(): boolean {
    return this.#request?.long === true;
  }

  get move(): (() => void) | undefined {
    return this.#request?.move;
  }

  isWaiting(): boolean {
    return Atomics.load(this.#slot, 0) === slotWord(this.#calls, SENT);
  }

  /** Sends a call. If it throws, it has sent nothing. */
  send(request: Request): void {
    if (this.isBusy) throw new InvalidArgumentError('A connection takes one call at a time.');
    this.#calls = (this.#calls + 1) % CALL_NUMBERS;
    Atomics.store(this.#slot, 0, slotWord(this.#calls, SENT));
    this.sentAt = performance.now();
    this.#request = request;
    try {
      this.handle.thread.send(this.number, this.#calls, request.call, this);
    } catch (error) {
      this.#request = undefined;
      throw error;
    }
  }

  answer(head: AnswerHead, answers: AnswerReader): void {
    const request = known(this.#request);
    this.#request = undefined;
    this.#inTransaction = head.inTransaction;
    request.answer(head, answers);
    this.handle.rest(this);
  }

  lose(reason: unknown): void {
    const request = known(this.#request);
    const begun = !this.#tryWithdraw();
    this.#request = undefined;
    request.lose(reason, begun);
    this.#inTransaction = false;
  }

  /**
   * Withdraws the running call if it has not begun. Then the call gets no answer and has done nothing. Returns whether
   * it was withdrawn.
   */
  withdraw(): boolean {
    if (this.#request === undefined || !this.#tryWithdraw()) return false;
    this.handle.thread.withdrawn(this.number);
    this.#request = undefined;
    this.handle.rest(this);
    return true;
  }

  /** Interrupts the running call, if that is possible. */
  interrupt(): void {
    if (this.isBusy) this.handle.interrupt?.(this.number);
  }

  /** Closes the line and its handle. */
  end(): Promise<void> {
    return new Promise((done, fail) => {
      this.send({
        call: { kind: CLOSE, detail: 0, statements: [] },
        long: false,
        answer: ({ kind }, answers) => {
          if (kind === ERROR) fail(bindingError(answers.error()));
          else done();
        },
        // A thread that has ended has closed its handles.
        lose: () => {
          done();
        },
      });
    });
  }

  /** The worker begins a call by changing the same word, so only one of the two can succeed. */
  #tryWithdraw(): boolean {
    const sent = slotWord(this.#calls, SENT);
    return Atomics.compareExchange(this.#slot, 0, sent, slotWord(this.#calls, WITHDRAWN)) === sent;
  }
}
