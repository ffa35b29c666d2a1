import type { Entry } from '../../../src/engine/entries.ts';

/** A call of the engine that a schedule ends whenever it likes. */
export interface Pending<T> {
  readonly since: number;
  readonly resource: Resource | undefined;
  readonly round: number;
  settled: boolean;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** What the engine leases out. */
export interface Resource {
  /** Which round of evictions it was opened in. */
  readonly round: number;
  state: 'open' | 'closing' | 'closed';
  /** When it was last released; `undefined` while it is leased, or if it never was. */
  idleSince: number | undefined;
}

/** One acquire, as its caller sees it. */
export interface Acquire {
  readonly id: number;
  readonly deadline: number;
  readonly controller: AbortController | undefined;
  state: 'pending' | 'held' | 'over';
  entry: Entry<Resource> | undefined;
  error: unknown;
}
