import type { Driver } from '../database.ts';

/** What a worker of the stress test is made with. */
export interface Setup {
  readonly driver: Driver;
  readonly path: string;
  readonly filename: string;
  /** The key of each connection, open or closed. */
  readonly keys: BigInt64Array;
  /** Two numbers: whether to stop, and how many statements were interrupted. */
  readonly control: Int32Array;
}

/** How many connections a worker has open, at most. */
export const CONNECTIONS = 4;
/** How many rows it writes in one transaction. */
export const ROWS = 500;

export const STOP = 0;
export const INTERRUPTED = 1;
