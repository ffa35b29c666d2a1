/**
 * What of Hrana 3 this driver speaks, as JSON: https://github.com/tursodatabase/libsql/blob/main/docs/HRANA_3_SPEC.md
 * The surface is small on purpose: execute, batch, get_autocommit and cursors.
 */

/** A value as it travels. An integer is text, so that its 64 bits survive. */
export type WireValue =
  | { readonly type: 'null' }
  | { readonly type: 'integer'; readonly value: string }
  /** `null` stands for an infinite one, in answers only. */
  | { readonly type: 'float'; readonly value: number | null }
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'blob'; readonly base64: string };

/** One statement with its values in order. */
export interface WireStatement {
  readonly sql: string;
  readonly args: readonly WireValue[];
  readonly want_rows: boolean;
  /** For HTTP: a replica answers when it has come so far. An extension of sqld. */
  readonly replication_index?: string;
}

/** When a step of a batch runs. */
export type Condition =
  | { readonly type: 'ok' | 'error'; readonly step: number }
  | { readonly type: 'not'; readonly cond: Condition }
  | { readonly type: 'and' | 'or'; readonly conds: readonly Condition[] }
  | { readonly type: 'is_autocommit' };

/** One statement of a batch. */
export interface Step {
  readonly condition?: Condition;
  readonly stmt: WireStatement;
}

/** What a stream can be asked. */
export type StreamRequest =
  | { readonly type: 'execute'; readonly stmt: WireStatement; readonly replication_index?: string }
  | {
      readonly type: 'batch';
      readonly batch: { readonly steps: readonly Step[]; readonly replication_index?: string };
    }
  | { readonly type: 'get_autocommit' };

/** A column of a result. */
export interface WireColumn {
  readonly name: string | null;
}

/** What one statement has done. */
export interface StatementResult {
  readonly cols: readonly WireColumn[];
  readonly rows: readonly (readonly WireValue[])[];
  readonly affected_row_count: number;
  readonly last_insert_rowid: string | null;
  /** Where the log of the primary stood after it; text, or a number, or not there. */
  readonly replication_index?: string | number | null;
}

/** What the server says of a failure. */
export interface WireError {
  readonly message: string;
  readonly code?: string | null;
}

/** What a batch has done: per step a result, an error, or neither if it was skipped. */
export interface BatchResult {
  readonly step_results: readonly (StatementResult | null)[];
  readonly step_errors: readonly (WireError | null)[];
  readonly replication_index?: string | number | null;
}

/** The answer to a request that did not fail. */
export type StreamResponse =
  | { readonly type: 'execute'; readonly result: StatementResult }
  | { readonly type: 'batch'; readonly result: BatchResult }
  | { readonly type: 'get_autocommit'; readonly is_autocommit: boolean }
  | { readonly type: 'open_stream' | 'open_cursor' | 'close_cursor' }
  | { readonly type: 'fetch_cursor'; readonly entries: readonly CursorEntry[]; readonly done: boolean };

/** What a cursor gives, one after the other. */
export type CursorEntry =
  | { readonly type: 'step_begin'; readonly step: number; readonly cols: readonly WireColumn[] }
  | { readonly type: 'row'; readonly row: readonly WireValue[] }
  | { readonly type: 'step_end' | 'replication_index' }
  | { readonly type: 'step_error' | 'error'; readonly error: WireError };

/** The answer to one request. */
export type Answer =
  | { readonly type: 'ok'; readonly response: StreamResponse }
  | { readonly type: 'error'; readonly error: WireError };

/** The result of one statement; `undefined` if this is another answer. */
export function statementIn(answer: Answer | undefined): StatementResult | undefined {
  return answer?.type === 'ok' && answer.response.type === 'execute' ? answer.response.result : undefined;
}

/** The result of a batch; `undefined` if this is another answer. */
export function batchIn(answer: Answer | undefined): BatchResult | undefined {
  return answer?.type === 'ok' && answer.response.type === 'batch' ? answer.response.result : undefined;
}

/** Some entries of a cursor, and how long they were on the wire, in bytes. */
export interface CursorChunk {
  readonly entries: readonly CursorEntry[];
  readonly bytes: number;
  readonly done: boolean;
}

/** An open cursor, which has its stream for itself. */
export interface WireCursor {
  /** The next entries, at most so many. Rejects with `StreamLostError`, or with what the server said. */
  fetch(most: number): Promise<CursorChunk>;
  /** Lets the stream go on with other requests. */
  close(): Promise<void>;
}

/** What a stream reports. */
export interface StreamEvents {
  /** It has ended, and not because of this process. */
  readonly lost?: () => void;
  /** An answer says how far the log of the primary has come. */
  readonly position?: (position: number) => void;
}

/** One connection of the server's to the database, however it is reached. */
export interface Stream {
  /** Whether requests can still be sent. */
  readonly isOpen: boolean;
  /** Whether every request goes to the same connection of the same server. */
  readonly isSticky: boolean;
  /** Where the log of the primary stood in the newest answer. */
  readonly position: number | undefined;
  /** Sends requests in one hop, and resolves to an answer for each. Rejects with `StreamLostError` if the stream ends first. */
  send(requests: readonly StreamRequest[]): Promise<readonly Answer[]>;
  /** Opens a cursor on the rows of the steps. */
  cursor(steps: readonly Step[]): Promise<WireCursor>;
  /** From now on another stream would not do in its place. */
  keep?(): void;
  /** Ends it at once, and with it what runs at the server. */
  destroy(): void;
}

/** Opens a stream. Rejects with an `OpenError`, or with the reason of the signal. */
export type OpenStream = (signal?: AbortSignal) => Promise<Stream>;
