import { Reader, Writer, type Packed, type WireValue } from '../codec.ts';
import { AnswerWriter, DONE, ERROR, LAST_ROWS, OUTCOMES, RESULT, ROWS, STOPPED } from '../answers.ts';
import {
  BATCH,
  CLOSE,
  CLOSE_CURSOR,
  EXECUTE,
  KnownTexts,
  OPEN_CURSOR,
  readCall,
  SCRIPT,
  STEP_CURSOR,
  type Call,
} from '../calls.ts';
import { BEGUN, INTERRUPTED, known, RUNNING, SENT, slotWord } from '../protocol.ts';
import { runBatch } from './batch.ts';
import type { Cursor, Database } from './database.ts';
import { describeError } from './errors.ts';

/** A database handle and the number of its lines. Closing the last line closes the handle. */
interface Handle {
  readonly number: number;
  readonly database: Database;
  readonly running: Int32Array;
  readonly shared: boolean;
  lines: number;
}

/** One line, its cursors, and the word by which a call on it can be withdrawn. */
interface Hosted {
  readonly handle: Handle;
  readonly slot: Int32Array;
  readonly cursors: Map<number, Cursor>;
}

/**
 * Answers wait this long, in milliseconds, for the answers of the next calls, because to wake the main thread costs
 * more than a read. They do not wait when there is no more work, or while a statement runs that is not known to be
 * short.
 */
const ANSWERS_WAIT_MS = 1;
/** A statement that has taken longer than this, in milliseconds, is not short. */
const SHORT_MS = 1;
/** Other calls should not wait behind a call that takes longer than this, in milliseconds. */
const LONG_MS = 2;
/** The largest number of short texts to remember. */
const MOST_KNOWN = 2000;

/**
 * A chunk of a cursor ends after this many rows or milliseconds. The first chunk has one row. The read of the cursor
 * ends with the last chunk, and what the user reads after the first row must be of the same state of the file.
 */
const CHUNK_ROWS = 64;
const CHUNK_MS = 5;

/** The lines of one worker, and the work of the calls on them. It knows nothing of threads. */
export class Host {
  readonly #send: (answers: Packed) => void;
  readonly #lines = new Map<number, Hosted>();
  readonly #handles = new Map<number, Handle>();
  readonly #reader = new Reader(true);
  readonly #texts = new KnownTexts();
  readonly #answers = new AnswerWriter(new Writer());
  /** The texts whose last run was short. */
  readonly #short = new Set<string>();
  /** The time at which the oldest unsent answer was written. */
  #since = 0;
  /** The time at which the running call began. */
  #begun = 0;

  constructor(send: (answers: Packed) => void) {
    this.#send = send;
  }

  /** Adds a new database handle, and the first line to it. */
  add(line: number, database: Database, { slot, running, shared }: HandleWords): void {
    this.#handles.set(line, { number: line, database, running, shared, lines: 0 });
    this.join(line, line, slot);
  }

  join(line: number, number: number, slot: Int32Array): void {
    const handle = known(this.#handles.get(number));
    handle.lines += 1;
    this.#lines.set(line, { handle, slot, cursors: new Map() });
  }

  leave(line: number): void {
    const { cursors, handle } = known(this.#lines.get(line));
    this.#lines.delete(line);
    for (const id of cursors.keys()) closeCursor(cursors, handle.database, id);
    handle.lines -= 1;
    if (handle.lines > 0) return;
    this.#handles.delete(handle.number);
    handle.database.close();
  }

  /** Runs the calls of one message. */
  handle(message: string | ArrayBuffer): void {
    this.#reader.open(message);
    while (!this.#reader.done) {
      // Read the call to its end even if it was withdrawn: it may introduce a text that later calls name by its number.
      const call = readCall(this.#reader, this.#texts);
      const hosted = known(this.#lines.get(call.connection));
      const sent = slotWord(call.number, SENT);
      if (Atomics.compareExchange(hosted.slot, 0, sent, slotWord(call.number, BEGUN)) === sent)
        this.#perform(call, hosted);
    }
    this.#reader.close();
  }

  /** Sends the waiting answers. */
  flush(): void {
    if (this.#answers.writer.length > 0) this.#send(this.#answers.writer.pack());
    this.#since = 0;
  }

  end(): void {
    for (const line of [...this.#lines.keys()]) this.leave(line);
  }

  #perform(call: Call, hosted: Hosted): void {
    const key = keyOf(call);
    if (key === undefined || !this.#short.has(key)) this.flush();
    const begun = (this.#begun = performance.now());
    Atomics.store(hosted.handle.running, RUNNING, call.connection);
    this.#answer(call, hosted);
    leaveIdle(hosted.handle);
    goOn(hosted.handle, call.connection);
    const now = performance.now();
    if (key !== undefined) this.#learn(key, now - begun);
    if (this.#since === 0) this.#since = begun;
    if (now - this.#since >= ANSWERS_WAIT_MS) this.flush();
  }

  #learn(key: string, ms: number): void {
    if (ms > SHORT_MS) this.#short.delete(key);
    else if (this.#short.size < MOST_KNOWN) this.#short.add(key);
    else this.#short.clear();
  }

  #answer(call: Call, hosted: Hosted): void {
    const { writer } = this.#answers;
    const start = writer.length;
    try {
      this.#run(call, hosted);
    } catch (error) {
      // If the answer could not be written, the column names in it were not sent.
      if (writer.length > start) this.#answers.clear();
      writer.rewind(start);
      this.#begin(call, hosted, ERROR);
      this.#answers.error(describeError(error));
    }
  }

  #begin(call: Call, { handle }: Hosted, kind: number): void {
    const long = performance.now() - this.#begun > LONG_MS;
    this.#answers.begin(call, kind, handle.database.inTransaction, long);
  }

  #run(call: Call, hosted: Hosted): void {
    const { cursors } = hosted;
    const { database } = hosted.handle;
    switch (call.kind) {
      case EXECUTE: {
        const executed = database.execute(known(call.statements[0]));
        this.#begin(call, hosted, RESULT);
        this.#answers.result(executed);
        return;
      }
      case BATCH: {
        const outcomes = runBatch(database, call.statements, call.detail === 1);
        this.#begin(call, hosted, OUTCOMES);
        this.#answers.outcomes(outcomes, describeError);
        return;
      }
      case SCRIPT:
        this.#script(call, hosted);
        return;
      case OPEN_CURSOR: {
        const cursor = database.iterate(known(call.statements[0]));
        cursors.set(call.detail, cursor);
        database.bound.letCursorsWrite(true);
        this.#step(call, hosted);
        return;
      }
      case STEP_CURSOR:
        this.#step(call, hosted);
        return;
      case CLOSE_CURSOR:
        closeCursor(cursors, database, call.detail);
        break;
      case CLOSE:
        this.leave(call.connection);
        this.#answers.begin(call, DONE, false, false);
        return;
      default:
        database.rollback();
    }
    this.#begin(call, hosted, DONE);
  }

  /** Reports how far the script has come. A script that met a lock goes on from there. */
  #script(call: Call, hosted: Hosted): void {
    for (const [at, { text }] of call.statements.entries()) {
      try {
        hosted.handle.database.exec(text);
      } catch (error) {
        this.#begin(call, hosted, STOPPED);
        this.#answers.writer.uint(at);
        this.#answers.error(describeError(error));
        return;
      }
    }
    this.#begin(call, hosted, DONE);
  }

  #step(call: Call, hosted: Hosted): void {
    const cursor = known(hosted.cursors.get(call.detail));
    const rows: WireValue[][] = [];
    const most = cursor.names === undefined ? 1 : CHUNK_ROWS;
    const until = performance.now() + CHUNK_MS;
    let last = false;
    try {
      while (!last && rows.length < most && (rows.length === 0 || performance.now() < until)) {
        const step = cursor.rows.next();
        last = step.done === true;
        if (step.done !== true) rows.push(step.value);
      }
      const columns = (cursor.names ??= cursor.columns());
      this.#begin(call, hosted, last ? LAST_ROWS : ROWS);
      this.#answers.rows(columns, rows);
    } catch (error) {
      last = true;
      throw hosted.handle.database.explain(error);
    } finally {
      if (last) closeCursor(hosted.cursors, hosted.handle.database, call.detail);
    }
  }
}

/** The key for remembering the duration of a call. */
function keyOf({ kind, statements }: Call): string | undefined {
  return kind === EXECUTE ? statements[0]?.text.sql : undefined;
}

function closeCursor(cursors: Map<number, Cursor>, database: Database, id: number): void {
  const cursor = cursors.get(id);
  cursors.delete(id);
  try {
    cursor?.rows.return?.();
  } finally {
    database.bound.letCursorsWrite(cursors.size > 0);
  }
}

/** The words that a handle shares with the main thread. */
export interface HandleWords {
  readonly slot: Int32Array;
  readonly running: Int32Array;
  readonly shared: boolean;
}

/**
 * The next call on a shared handle belongs to another caller. So this rolls back a transaction that the call could not
 * end.
 */
function leaveIdle({ shared, database }: Handle): void {
  if (!shared) return;
  try {
    database.rollback();
  } catch {
    // The handle is closed, or no longer works. The next call gets SQLite's error.
  }
}

/** Waits while the main thread interrupts the finished call, because the interrupt must not hit the next one. */
function goOn({ running, database }: Handle, line: number): void {
  while (Atomics.compareExchange(running, RUNNING, line, 0) !== line) Atomics.wait(running, RUNNING, -line);
  if (Atomics.exchange(running, INTERRUPTED, 0) !== 0) database.forgetInterrupt();
}
