import type { Pragmas } from '@sqlite-pool/core';

/** A contender that does not install, or cannot do what is measured: the table says why. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

export type Row = Readonly<Record<string, unknown>>;

/** One way to use SQLite from Node.js, as its documentation says it is done best. */
export interface Contender {
  readonly name: string;
  /** What a reader of the table must know of it. */
  readonly note?: string;
  /** Rejects with {@link Unavailable} if it cannot take part. */
  open(filename: string, options: { connections: number; pragmas: Pragmas }): Promise<Opened>;
}

/** A contender with its database open. */
export interface Opened {
  get(sql: string, params: readonly unknown[]): Promise<Row | undefined>;
  all(sql: string, params: readonly unknown[]): Promise<readonly Row[]>;
  run(sql: string, params: readonly unknown[]): Promise<unknown>;
  transaction?<T>(fn: (tx: Omit<Opened, 'transaction' | 'close'>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
