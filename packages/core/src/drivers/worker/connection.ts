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
import { parse, parseScript } from '../../query/sql.ts';
import { isLocked, isSuspicious } from '../../driver-errors.ts';
import { interruptAtExit } from './interrupter.ts';
import { bindingError, withdrawnError } from './errors.ts';
import { ERROR, LAST_ROWS, STOPPED, type AnswerHead, type AnswerReader } from './answers.ts';
import {
  BATCH,
  CHANGES,
  CLOSE_CURSOR,
  EXECUTE,
  INSERTS,
  OPEN_CURSOR,
  READONLY,
  ROLLBACK,
  SCRIPT,
  STEP_CURSOR,
} from './calls.ts';
import type { Line, Request } from './line.ts';
import type { SharedLines } from './shared-lines.ts';
import type { OwnLine } from './own-line.ts';
import type { LongTexts } from './placement.ts';
import type { SentCall, SentStatement } from './thread.ts';

const NO_VALUES: readonly Value[] = [];

/** The hint for a statement without one. Such a statement may do anything. */
const UNDESCRIBED: ExecuteHint = { rowMode: 'object', readonly: false, returnsRows: true, effect: 'insert' };

/** A call without statements. */
function bare(kind: number, detail = 0): SentCall {
  return { kind, detail, statements: [] };
}

/** The settings of a connection. */
export interface ConnectionSettings {
  /** How long a script waits for the lock of another process, at each of its statements, in milliseconds. */
  readonly scriptBusyMs: number;
  /** Whether the binding truncates text at a NUL (node:sqlite in Node.js 22). Such text is refused. */
  readonly truncatesText: boolean;
  /** Whether running calls can be interrupted. */
  readonly interruptible: boolean;
  readonly pause: (ms: number) => Promise<void>;
}

/** The lines on which the calls of a connection run. */
export interface ConnectionLines {
  readonly own: OwnLine;
  /** For calls that can run on any handle of the file; `undefined` if there is only one handle. */
  readonly shared: SharedLines | undefined;
  /** The texts whose last run took long. The connection also updates them. */
  readonly longTexts: LongTexts;
}

/** The running call. It has no line while it waits for a handle to open. */
interface Running {
  readonly fail: (error: unknown) => void;
  readonly request: Request;
  readonly shared: SharedLines | undefined;
  line: Line | undefined;
}

/** One key for all batches in {@link LongTexts}. */
const BATCHES = '';

/** One connection in a worker, as the pool uses it. */
export class WorkerConnection implements Connection {
  readonly interrupt?: () => void;
  readonly #lines: ConnectionLines;
  readonly #settings: ConnectionSettings;
  /** Called when the connection is closed. */
  readonly #forget: (() => void) | undefined;
  #cursors = 0;
  /** `lost`: the file was replaced by another one. */
  #state: 'open' | 'lost' | 'closed' = 'open';
  #running: Running | undefined;
  /** Ends the pause of a script that waits for a lock. */
  #cancelPause: ((reason: unknown) => void) | undefined;

  constructor(lines: ConnectionLines, settings: ConnectionSettings) {
    this.#lines = lines;
    this.#settings = settings;
    if (!settings.interruptible) return;
    this.interrupt = () => {
      if (!this.withdraw()) this.#running?.line?.interrupt();
    };
    this.#forget = interruptAtExit({
      interrupt: this.interrupt,
      isRunning: () => {
        this.#running?.line?.handle.thread.look();
        return this.#running !== undefined;
      },
    });
  }

  /** Whether the thread of its own handle has ended, its file was replaced, or it is closed. */
  get broken(): boolean {
    return this.#state !== 'open' || this.#lines.own.current?.handle.thread.hasEnded === true;
  }

  /** Every answer of the worker contains this. */
  inTransaction(): boolean {
    const line = this.#lines.own.current;
    return line?.inTransaction === true && !line.handle.thread.hasEnded;
  }

  execute(
    sql: string,
    params: readonly Value[] = NO_VALUES,
    hint: ExecuteHint = UNDESCRIBED,
  ): Promise<Result> {
    const call = { kind: EXECUTE, detail: 0, statements: [sentStatement(sql, params, hint)] };
    return this.#call(call, (answers) => answers.result(hint.rowMode), hint.unleased, sql);
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
    const read = (answers: AnswerReader): BatchOutcome[] =>
      answers
        .outcomes(statements.map(({ hint }) => hint.rowMode))
        .map((outcome) =>
          outcome.status === 'done' ? outcome : { ...outcome, error: bindingError(outcome.error) },
        );
    const outcomes = await this.#call(call, read, statements[0]?.hint.unleased, BATCHES);
    return outcomes;
  }

  /** Tries each statement that meets the lock of another process again. No thread sleeps in the meantime. */
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

  /** Rejects when the script is cancelled in the meantime. */
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

  /** Without a handle of its own, the connection has no transaction. */
  async rollback(): Promise<void> {
    if (this.#lines.own.current !== undefined) await this.#call(bare(ROLLBACK), nothing);
  }

  async close(): Promise<void> {
    const { own, shared } = this.#lines;
    const wasClosed = this.#state === 'closed';
    this.#state = 'closed';
    this.#forget?.();
    if (wasClosed) return;
    // Not at the same time: of two handles that close at the same moment, each can assume that the other stays, and then
    // neither writes the WAL back.
    try {
      await own.close();
    } finally {
      await shared?.close();
    }
  }

  /**
   * Withdraws the running call if it has not begun. Then the call rejects and has done nothing. Returns whether it was
   * withdrawn.
   */
  withdraw(): boolean {
    if (this.#cancelPause !== undefined) {
      this.#cancelPause(withdrawnError());
      return true;
    }
    const running = this.#running;
    // The close of a cursor follows the step that was cancelled, in the same call of the pool, which goes on to cancel it. A
    // cursor that stayed open would fail later statements of other callers: at the write lock, or with its interrupt.
    if (running === undefined || running.request.call.kind === CLOSE_CURSOR) return false;
    if (running.line?.withdraw() === false) return false;
    this.#running = undefined;
    running.fail(withdrawnError());
    return true;
  }

  #call<T>(
    call: SentCall,
    read: (answers: AnswerReader, kind: number) => T,
    unleased = false,
    text?: string,
  ): Promise<T> {
    return new Promise<T>((done, fail) => {
      this.#refuse(call.statements);
      const { longTexts, shared } = this.#lines;
      const long = text !== undefined && longTexts.has(text);
      const answer = (head: AnswerHead, answers: AnswerReader): void => {
        const line = running.line;
        this.#running = undefined;
        if (text !== undefined) longTexts.note(text, head.long);
        if (head.kind === ERROR) {
          const error = bindingError(answers.error());
          if (running.shared !== undefined && isSuspicious(error)) line?.handle.retire();
          fail(error);
        } else done(read(answers, head.kind));
      };
      const lose = (reason: unknown, begun: boolean): void => {
        const mayBeDone = begun && mayCommit(call, running);
        this.#running = undefined;
        const outcome = running.line?.inTransaction === true ? 'undone' : 'none';
        fail(mayBeDone ? new OutcomeUnknownError(reason) : new ConnectionLostError(reason, outcome));
      };
      const move = (): void => {
        if (running.line?.withdraw() !== true) return;
        running.line = undefined;
        // `false`: to a free thread now, even if the call is long.
        this.#place(running, false);
      };
      const used = unleased ? shared : undefined;
      const request = { call, long, answer, lose, move: used === undefined ? undefined : move };
      const running: Running = { fail, request, shared: used, line: undefined };
      this.#running = running;
      this.#place(running, long);
    });
  }

  /** Sends a call on a line, as soon as there is one. */
  #place(running: Running, long: boolean): void {
    const { shared } = running;
    try {
      const line = shared === undefined ? this.#lines.own.take() : shared.take(long);
      if (!(line instanceof Promise)) {
        this.#send(running, line);
        return;
      }
      line.then(
        (opened) => {
          // The call may have been withdrawn in the meantime.
          if (this.#running === running) this.#send(running, opened);
        },
        (error: unknown) => {
          if (this.#running === running) this.#fail(running, error);
        },
      );
    } catch (error) {
      this.#fail(running, error);
    }
  }

  #send(running: Running, line: Line): void {
    try {
      line.send(running.request);
      running.line = line;
    } catch (error) {
      this.#fail(running, line.handle.thread.hasEnded ? new ConnectionLostError(error) : error);
    }
  }

  #fail(running: Running, error: unknown): void {
    this.#running = undefined;
    if (error instanceof ConnectionLostError && this.#state === 'open') this.#state = 'lost';
    running.fail(error);
  }

  #refuse(statements: readonly SentStatement[]): void {
    if (this.broken) throw new ConnectionLostError(undefined);
    if (this.#running !== undefined) throw new InvalidArgumentError('A connection takes one call at a time.');
    if (!this.#settings.truncatesText) return;
    for (const { values } of statements) {
      if (values.some((value) => typeof value === 'string' && value.includes('\0')))
        throw new InvalidArgumentError(
          'A text with a NUL character in it cannot be bound: the node:sqlite of this runtime would end it there. ' +
            'Use Node.js 24, the better-sqlite3 driver, or bind bytes.',
        );
    }
  }
}

/** Whether a call commits when it succeeds. In a transaction, only the statement that ends the transaction does. */
function mayCommit({ statements }: SentCall, { line, shared }: Running): boolean {
  const inTransaction = shared === undefined && line?.inTransaction === true;
  return statements.some(({ sql }) => {
    const { control, readonly } = parse(sql);
    return control === 'commit' || control === 'release' || (!readonly && !inTransaction);
  });
}

function nothing(): void {
  // For an answer without content.
}

/** The pause between two tries of a statement of a script, in milliseconds. */
const SCRIPT_PAUSE_MS = 10;

function sentStatement(
  sql: string,
  values: readonly Value[],
  { readonly, effect }: ExecuteHint,
): SentStatement {
  const does = effect === 'insert' ? INSERTS : effect === 'change' ? CHANGES : 0;
  return { sql, values, flags: readonly ? does | READONLY : does };
}
