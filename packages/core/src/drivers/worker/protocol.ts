import type { MessagePort } from 'node:worker_threads';

/** Returns an object that the other thread has named. It must exist: otherwise one of the two threads has a bug. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('sqlite-pool: the threads have lost track of each other');
  return value;
}

/** An error of a binding, as it is sent between the threads. */
export interface WireError {
  readonly message: string;
  /** The name of a result code; empty if there is none. */
  readonly code: string;
  /** SQLite's extended result code; 0 if the binding gave none. */
  readonly errno: number;
}

/** The words of the memory that the two threads of a worker share. */
export const WAKE_WORD = 0;
export const STATE_BYTES = 4;

/**
 * The stages of a call. They are in the lower bits of the slot word of its connection. The number of the call is above
 * them.
 */
export const SENT = 1;
export const BEGUN = 2;
export const WITHDRAWN = 3;

/** A slot word. */
export function slotWord(call: number, stage: number): number {
  return (call << 2) | stage;
}

/** The numbers of calls wrap around here. */
export const CALL_NUMBERS: number = 2 ** 29;

/** The data with which a worker starts. */
export interface WorkerData {
  readonly port: MessagePort;
  /** The shared words. */
  readonly state: Int32Array;
  readonly binding: BindingSource;
  /** The URL of the application's setup module. */
  readonly setup: string | undefined;
}

/** The binding, and the path of its module if it is not part of the runtime. */
export type BindingSource =
  { readonly name: 'node:sqlite' } | { readonly name: 'better-sqlite3'; readonly path: string };

/**
 * `create`: a missing file is created. `existing`: a missing file is an error. `readonly`: the same, and nothing is
 * written.
 */
export type OpenMode = 'create' | 'existing' | 'readonly';

/**
 * The words that both threads share for a database handle: the line whose call runs on it, and whether that call was
 * interrupted.
 */
export const RUNNING = 0;
export const INTERRUPTED = 1;
export const HANDLE_BYTES = 8;

/** Opens a database handle and the first line to it. Both have the same number. */
export interface OpenMessage {
  readonly kind: 'open';
  readonly connection: number;
  readonly slot: Int32Array;
  /**
   * Holds the number of the line whose call runs. The main thread makes it negative while it interrupts that call, and
   * the worker does not go on in the meantime. So an interrupt hits no other call.
   */
  readonly running: Int32Array;
  /** Whether other lines may join. Then no call may leave a transaction open. */
  readonly shared: boolean;
  readonly path: string;
  readonly mode: OpenMode;
  /** A script that sets the PRAGMAs. */
  readonly pragmas: string;
  readonly extensions: readonly string[];
  readonly statementCacheSize: number;
  /** The path of the extension that makes the handle interruptible. */
  readonly interruptible: string | undefined;
}

/** Asks the extension for the number of the connection. */
export const HANDLE_OF_CONNECTION = 'SELECT sqlite_pool_interrupt()';

/** Adds a line to a handle. It has no answer. */
interface JoinMessage {
  readonly kind: 'join';
  readonly connection: number;
  readonly slot: Int32Array;
  readonly handle: number;
}

/** The messages to a worker that are not calls. `leave` ends a line that is not the last of its handle. */
export type ControlMessage =
  | OpenMessage
  | JoinMessage
  | { readonly kind: 'leave'; readonly connection: number }
  | { readonly kind: 'end' };

/** The answer to an open. */
export interface OpenedMessage {
  readonly kind: 'opened';
  readonly connection: number;
  readonly error?: WireError;
  /** The key for interrupts, if the handle is interruptible. */
  readonly handle?: bigint | undefined;
}
