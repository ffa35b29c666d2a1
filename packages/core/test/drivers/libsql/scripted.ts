import { StreamLostError } from '../../../src/drivers/libsql/errors.ts';
import type {
  Answer,
  BatchResult,
  CursorChunk,
  StatementResult,
  Stream,
  StreamRequest,
  WireCursor,
  WireError,
} from '../../../src/drivers/libsql/protocol.ts';

/** A statement without rows. */
export const RESULT: StatementResult = { cols: [], rows: [], affected_row_count: 0, last_insert_rowid: null };
export const BUSY: WireError = { message: 'database is locked', code: 'SQLITE_BUSY' };
/** An answer to something else. */
export const OTHER: Answer = { type: 'ok', response: { type: 'open_stream' } };

export const failed = (error: WireError): Answer => ({ type: 'error', error });
export const one = (result: StatementResult = RESULT): Answer => ({
  type: 'ok',
  response: { type: 'execute', result },
});
export const many = (result: BatchResult): Answer => ({ type: 'ok', response: { type: 'batch', result } });
export const standing = (isAutocommit: boolean): Answer => ({
  type: 'ok',
  response: { type: 'get_autocommit', is_autocommit: isAutocommit },
});

/** A stream whose answers are written down before. One of `undefined` never comes: the stream ends. */
export class ScriptedStream implements Stream {
  isOpen = true;
  readonly isSticky = true;
  position: number | undefined;
  readonly sent: StreamRequest[] = [];
  readonly #answers: (readonly Answer[] | Error)[];
  chunks: CursorChunk[] = [];

  constructor(...answers: (readonly Answer[] | Error)[]) {
    this.#answers = answers;
  }

  /** Whether a call waits for an answer that never comes, until the stream is destroyed. */
  hangs = false;
  #fail: ((error: Error) => void) | undefined;

  async send(requests: readonly StreamRequest[]): Promise<readonly Answer[]> {
    this.sent.push(...requests);
    if (this.hangs) return await new Promise((_, fail) => (this.#fail = fail));
    const answers = this.#answers.shift() ?? [];
    if (!(answers instanceof Error)) return answers;
    if (answers instanceof StreamLostError) this.isOpen = false;
    throw answers;
  }

  cursor(): Promise<WireCursor> {
    const fetch = (): Promise<CursorChunk> => {
      const chunk = this.chunks.shift();
      if (chunk !== undefined) return Promise.resolve(chunk);
      this.isOpen = false;
      return Promise.reject(new StreamLostError(true, new Error('gone')));
    };
    return Promise.resolve({ fetch, close: () => Promise.resolve() });
  }

  destroy(): void {
    this.isOpen = false;
    this.#fail?.(new StreamLostError(true, new Error('destroyed')));
  }
}

/** A promise that is resolved by hand. */
export function later<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}
