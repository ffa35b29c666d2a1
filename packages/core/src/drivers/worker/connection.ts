import type {
  BatchOutcome,
  BatchedStatement,
  Connection,
  ExecuteHint,
  Result,
  Row,
  Value,
} from '../../driver.ts';
import { ConnectionLostError, InvalidArgumentError, OutcomeUnknownError } from '../../errors.ts';
import { parse, parseScript } from '../../sql.ts';
import { isLocked } from '../../driver-errors.ts';
import { interruptAtExit } from './interrupter.ts';
import { bindingError, withdrawnError } from './errors.ts';
import { ERROR, LAST_ROWS, STOPPED, type AnswerHead, type AnswerReader } from './answers.ts';
import {
  BATCH,
  CHANGES,
  CLOSE,
  CLOSE_CURSOR,
  EXECUTE,
  INSERTS,
  OPEN_CURSOR,
  READONLY,
  ROLLBACK,
  SCRIPT,
  STEP_CURSOR,
} from './calls.ts';
import { CALL_NUMBERS, SENT, slotWord, WITHDRAWN } from './protocol.ts';
import type { SentCall, SentStatement, Thread } from './thread.ts';

const NO_VALUES: readonly Value[] = [];

/** A statement that nobody described may do anything. */
const UNDESCRIBED: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: true, effect: 'insert' };

/** What a call without an answer of its own is sent as. */
function bare(kind: number, detail = 0): SentCall {
  return { kind, detail, statements: [] };
}

/** What a connection needs of its thread. */
export type CallThread = Pick<Thread, 'send' | 'withdrawn' | 'remove' | 'look' | 'isStuck' | 'hasEnded'>;

/** How a connection is used. */
export interface ConnectionSettings {
  /** How long a script waits for the lock of another process, at each of its statements, in milliseconds. */
  readonly scriptBusyMs: number;
  /** Where text is cut at a NUL, it is refused: node:sqlite in Node.js 22. */
  readonly cutsText: boolean;
  /** Interrupts what runs on this connection, where that can be done. */
  readonly interrupt: (() => void) | undefined;
  readonly pause: (ms: number) => Promise<void>;
}

/** The call under way. */
interface Running {
  readonly word: number;
  readonly fail: (error: unknown) => void;
}

/** One connection in a worker, as the pool uses it. */
export class WorkerConnection implements Connection {
  readonly interrupt?: () => void;
  readonly #thread: CallThread;
  readonly #number: number;
  readonly #slot: Int32Array;
  readonly #settings: ConnectionSettings;
  /** Called when it is closed. */
  readonly #forget: (() => void) | undefined;
  #calls = 0;
  #cursors = 0;
  #inTransaction = false;
  #closed = false;
  #running: Running | undefined;
  /** Ends the pause of a script that waits for a lock. */
  #cancelPause: ((reason: unknown) => void) | undefined;

  constructor(thread: CallThread, number: number, slot: Int32Array, settings: ConnectionSettings) {
    this.#thread = thread;
    this.#number = number;
    this.#slot = slot;
    this.#settings = settings;
    const { interrupt } = settings;
    if (interrupt === undefined) return;
    this.interrupt = () => {
      if (!this.withdraw() && this.#running !== undefined) interrupt();
    };
    this.#forget = interruptAtExit({
      interrupt: this.interrupt,
      isRunning: () => {
        if (this.#running !== undefined) thread.look();
        return this.#running !== undefined;
      },
    });
  }

  /** Whether its thread has ended, or it is closed. */
  get broken(): boolean {
    return this.#closed || this.#thread.hasEnded;
  }

  /** Whether its thread is busy with another connection, and has been for long. */
  get stuck(): boolean {
    return this.#running === undefined && this.#thread.isStuck;
  }

  /** The worker says so with every answer. */
  inTransaction(): boolean {
    return this.#inTransaction;
  }

  execute(
    sql: string,
    params: readonly Value[] = NO_VALUES,
    hint: ExecuteHint = UNDESCRIBED,
  ): Promise<Result> {
    const call = { kind: EXECUTE, detail: 0, statements: [sentStatement(sql, params, hint)] };
    return this.#call(call, (answers) => answers.result(hint.rowMode));
  }

  async batch(
    statements: readonly BatchedStatement[],
    onError: 'abort' | 'continue',
  ): Promise<readonly BatchOutcome[]> {
    for (const { sql } of statements) {
      if (parse(sql).control !== 'none')
        throw new InvalidArgumentError('A statement of a batch must not begin or end a transaction.');
    }
    const call = {
      kind: BATCH,
      detail: onError === 'continue' ? 1 : 0,
      statements: statements.map(({ sql, params, hint }) => sentStatement(sql, params, hint)),
    };
    const outcomes = await this.#call(call, (answers) =>
      answers.outcomes(statements.map(({ hint }) => hint.rowMode)),
    );
    return outcomes.map((outcome) =>
      outcome.status === 'done' ? outcome : { ...outcome, error: bindingError(outcome.error) },
    );
  }

  /** Each statement that meets the lock of another process is run again, and no thread sleeps for it. */
  async script(sql: string): Promise<void> {
    let left: readonly SentStatement[] = parseScript(sql).map((statement) =>
      sentStatement(statement.sql, NO_VALUES, UNDESCRIBED),
    );
    let until: number | undefined;
    while (left.length > 0) {
      const stopped = await this.#call({ kind: SCRIPT, detail: 0, statements: left }, (answers, kind) =>
        kind === STOPPED ? { at: answers.reader.uint(), error: bindingError(answers.error()) } : undefined,
      );
      if (stopped === undefined) return;
      if (stopped.at > 0) until = undefined;
      until ??= performance.now() + this.#settings.scriptBusyMs;
      if (!isLocked(stopped.error) || performance.now() >= until) throw stopped.error;
      left = left.slice(stopped.at);
      await this.#pause();
    }
  }

  /** Rejects when the script is cancelled meanwhile. */
  async #pause(): Promise<void> {
    const cancelled = new Promise<never>((_, fail) => (this.#cancelPause = fail));
    try {
      await Promise.race([this.#settings.pause(SCRIPT_PAUSE_MS), cancelled]);
    } finally {
      this.#cancelPause = undefined;
    }
  }

  async *iterate(sql: string, params: readonly Value[]): AsyncGenerator<Row, void, undefined> {
    const id = (this.#cursors += 1);
    const read = (answers: AnswerReader, kind: number): { rows: Row[]; last: boolean } => ({
      rows: answers.rows('object').rows,
      last: kind === LAST_ROWS,
    });
    const statements = [sentStatement(sql, params, { ...UNDESCRIBED, readonly: true, effect: 'none' })];
    let last = true;
    try {
      let call: SentCall = { kind: OPEN_CURSOR, detail: id, statements };
      do {
        const chunk = await this.#call(call, read);
        last = chunk.last;
        yield* chunk.rows;
        call = bare(STEP_CURSOR, id);
      } while (!last);
    } finally {
      if (!last) await this.#call(bare(CLOSE_CURSOR, id), nothing);
    }
  }

  rollback(): Promise<void> {
    return this.#call(bare(ROLLBACK), nothing);
  }

  async close(): Promise<void> {
    try {
      if (!this.broken) await this.#call(bare(CLOSE), nothing);
    } finally {
      this.#closed = true;
      this.#forget?.();
      this.#thread.remove(this.#number);
    }
  }

  /** Takes back the call under way if it has not begun: it rejects, and has done nothing. Says whether it did. */
  withdraw(): boolean {
    if (this.#cancelPause !== undefined) {
      this.#cancelPause(withdrawnError());
      return true;
    }
    const running = this.#running;
    if (running === undefined || !this.#takeBack(running)) return false;
    this.#running = undefined;
    this.#thread.withdrawn(this.#number);
    running.fail(withdrawnError());
    return true;
  }

  /** The worker begins a call by changing the same word: one of the two comes first. */
  #takeBack({ word }: Running): boolean {
    return (
      Atomics.compareExchange(this.#slot, 0, slotWord(word, SENT), slotWord(word, WITHDRAWN)) ===
      slotWord(word, SENT)
    );
  }

  #call<T>(call: SentCall, read: (answers: AnswerReader, kind: number) => T): Promise<T> {
    return new Promise<T>((done, fail) => {
      this.#refuse(call.statements);
      const word = (this.#calls = (this.#calls + 1) % CALL_NUMBERS);
      Atomics.store(this.#slot, 0, slotWord(word, SENT));
      const running: Running = { word, fail };
      this.#thread.send(this.#number, word, call, {
        sentAt: performance.now(),
        answer: ({ kind, inTransaction }: AnswerHead, answers: AnswerReader) => {
          this.#running = undefined;
          this.#inTransaction = inTransaction;
          if (kind === ERROR) fail(bindingError(answers.error()));
          else done(read(answers, kind));
        },
        lose: (reason) => {
          const mayBeDone = this.#mayCommit(call) && !this.#takeBack(running);
          this.#running = undefined;
          this.#inTransaction = false;
          fail(mayBeDone ? new OutcomeUnknownError(reason) : new ConnectionLostError(reason));
        },
      });
      this.#running = running;
    });
  }

  /** Whether it keeps something when it succeeds: in a transaction only what ends that does. */
  #mayCommit({ statements }: SentCall): boolean {
    return statements.some(({ sql }) => {
      const { control, readonly } = parse(sql);
      return control === 'commit' || control === 'release' || (!readonly && !this.#inTransaction);
    });
  }

  #refuse(statements: readonly SentStatement[]): void {
    if (this.broken) throw new ConnectionLostError(undefined);
    if (this.#running !== undefined) throw new InvalidArgumentError('A connection takes one call at a time.');
    if (!this.#settings.cutsText) return;
    for (const { values } of statements) {
      if (values.some((value) => typeof value === 'string' && value.includes('\0')))
        throw new InvalidArgumentError(
          'A text with a NUL character in it cannot be bound: node:sqlite of Node.js 22 would cut it there. ' +
            'Use Node.js 24, the better-sqlite3 driver, or bind bytes.',
        );
    }
  }
}

function nothing(): void {
  // An answer that says only that it is done.
}

/** Between two tries of a statement of a script, in milliseconds. */
const SCRIPT_PAUSE_MS = 10;

function sentStatement(
  sql: string,
  values: readonly Value[],
  { readonly, effect }: ExecuteHint,
): SentStatement {
  const does = effect === 'insert' ? INSERTS : effect === 'change' ? CHANGES : 0;
  return { sql, values, flags: readonly ? does | READONLY : does };
}
