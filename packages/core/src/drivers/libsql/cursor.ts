import type { Row } from '../../driver.ts';
import { ConnectionLostError } from '../../errors.ts';
import { interruptedError, LibsqlError, serverError, StreamLostError } from './errors.ts';
import type { CursorChunk, Step, Stream, WireCursor } from './protocol.ts';
import { columnNames, toRow } from './values.ts';

/** Rows asked for at once: few at first, so that a loop that ends early has not read much. */
const FIRST_ROWS = 16;
const MOST_ROWS = 512;

/** Makes rows of the entries of a cursor. */
class RowReader {
  /** Whether the last step has begun: one that is skipped has no entries. */
  begun = false;
  readonly #last: number;
  #columns: readonly string[] = [];

  constructor(steps: readonly Step[]) {
    this.#last = steps.length - 1;
  }

  read({ entries }: CursorChunk): Row[] {
    const rows: Row[] = [];
    for (const entry of entries) {
      switch (entry.type) {
        case 'step_begin':
          this.begun = entry.step === this.#last;
          this.#columns = columnNames(entry.cols);
          break;
        case 'row':
          rows.push(toRow(this.#columns, entry.row));
          break;
        case 'step_error':
        case 'error':
          throw serverError(entry.error);
        default:
          break;
      }
    }
    return rows;
  }
}

/** An open cursor on a stream of its own: it can go on beside the calls of its connection. */
export class OwnCursor {
  readonly #open: (signal: AbortSignal) => Promise<Stream>;
  readonly #query: readonly Step[];
  readonly #ended = new AbortController();
  #stream: Stream | undefined;
  #steps = 0;

  constructor(steps: readonly Step[], open: (signal: AbortSignal) => Promise<Stream>) {
    this.#query = steps;
    this.#open = open;
  }

  /** Steps through the rows, a part of them at a time. The end of the loop ends the query at the server. */
  async *rows(): AsyncGenerator<Row, void, undefined> {
    const reader = new RowReader(this.#query);
    try {
      const cursor = await this.#during(() => this.#start());
      for (let most = FIRST_ROWS, done = false; !done; most = Math.min(most * 2, MOST_ROWS)) {
        const chunk = await this.#during(() => cursor.fetch(most));
        done = chunk.done;
        yield* reader.read(chunk);
      }
    } finally {
      this.destroy();
    }
  }

  /** Ends it if a step of it is under way. */
  interrupt(): void {
    if (this.#steps > 0) this.destroy(interruptedError());
  }

  destroy(reason: unknown = new Error('The cursor was left.')): void {
    this.#ended.abort(reason);
    this.#stream?.destroy();
  }

  async #start(): Promise<WireCursor> {
    this.#stream = await this.#open(this.#ended.signal);
    this.#ended.signal.throwIfAborted();
    return await this.#stream.cursor(this.#query);
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#steps += 1;
    try {
      return await work();
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      throw error instanceof StreamLostError ? new ConnectionLostError(error.cause) : error;
    } finally {
      this.#steps -= 1;
    }
  }
}

/** Reads all rows of the last step at once, up to so many bytes; `undefined` if it was skipped. */
export async function readAll(
  stream: Stream,
  steps: readonly Step[],
  most: number,
): Promise<Row[] | undefined> {
  const cursor = await stream.cursor(steps);
  const reader = new RowReader(steps);
  const rows: Row[] = [];
  try {
    for (let bytes = 0, done = false; !done;) {
      const chunk = await cursor.fetch(MOST_ROWS);
      ({ done } = chunk);
      bytes += chunk.bytes;
      if (bytes > most)
        throw new LibsqlError('SQLITE_TOOBIG', 'A cursor in a transaction has more than bufferBytes.');
      for (const row of reader.read(chunk)) rows.push(row);
    }
  } finally {
    if (stream.isOpen) await cursor.close();
  }
  return reader.begun ? rows : undefined;
}
