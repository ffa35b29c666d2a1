import type { MessagePort } from 'node:worker_threads';

/** What the other thread names is there, or one of the two has a mistake. */
export function known<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('sqlite-pool: the threads have lost track of each other');
  return value;
}

/** An error of a binding, as it travels. */
export interface WireError {
  readonly message: string;
  /** The name of a code; empty if there is none. */
  readonly code: string;
  /** SQLite's extended result code; 0 if the binding gave none. */
  readonly errno: number;
}

/** The words of the memory that both threads of a worker see. */
export const WAKE_WORD = 0;
export const STATE_BYTES = 4;

/** The stages of a call, in the lower bits of the slot word of its connection; above them is the number of the call. */
export const SENT = 1;
export const BEGUN = 2;
export const WITHDRAWN = 3;

/** A slot word. */
export function slotWord(call: number, stage: number): number {
  return (call << 2) | stage;
}

/** Numbers of calls go around here. */
export const CALL_NUMBERS: number = 2 ** 29;

/** What a worker is started with. */
export interface WorkerData {
  readonly port: MessagePort;
  /** The words that both threads see. */
  readonly state: Int32Array;
  readonly binding: BindingSource;
  /** The URL of the application's setup module. */
  readonly setup: string | undefined;
}

/** Which binding, and where its module is if that is not part of the runtime. */
export type BindingSource =
  { readonly name: 'node:sqlite' } | { readonly name: 'better-sqlite3'; readonly path: string };

/** `create`: a missing file is made; `existing`: it is an error; `readonly`: that, and nothing is written. */
export type OpenMode = 'create' | 'existing' | 'readonly';

/** The words of the memory that both threads see of a database handle: which line's call runs on it, and whether it was interrupted. */
export const RUNNING = 0;
export const INTERRUPTED = 1;
export const HANDLE_BYTES = 8;

/** Opens a database handle, and the first line to it, whose number is that of the handle too. */
export interface OpenMessage {
  readonly kind: 'open';
  readonly connection: number;
  readonly slot: Int32Array;
  /**
   * Holds the number of the line whose call runs. The main thread makes it negative while it interrupts that call, and the worker does
   * not go on in the meantime: so an interrupt hits no other call.
   */
  readonly running: Int32Array;
  /** Whether other lines may join: then no call leaves a transaction open. */
  readonly shared: boolean;
  readonly path: string;
  readonly mode: OpenMode;
  /** A script. */
  readonly pragmas: string;
  readonly extensions: readonly string[];
  readonly statementCacheSize: number;
  /** The extension that lets it be interrupted. */
  readonly interruptible: string | undefined;
}

/** Asks the extension for the number that it has given a connection. */
export const HANDLE_OF_CONNECTION = 'SELECT sqlite_pool_interrupt()';

/** Another line to a handle. It has no answer. */
interface JoinMessage {
  readonly kind: 'join';
  readonly connection: number;
  readonly slot: Int32Array;
  readonly handle: number;
}

/** What is sent to a worker besides calls. `leave` ends a line that is not the last of its handle. */
export type ControlMessage =
  | OpenMessage
  | JoinMessage
  | { readonly kind: 'leave'; readonly connection: number }
  | { readonly kind: 'end' };

/** Its answer. */
export interface OpenedMessage {
  readonly kind: 'opened';
  readonly connection: number;
  readonly error?: WireError;
  /** By which it can be interrupted, if it can. */
  readonly handle?: bigint | undefined;
}
