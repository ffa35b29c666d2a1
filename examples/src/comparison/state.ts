/** What the page of the comparison asks for, four times a second. Times are milliseconds of one clock of the machine. */
export interface ComparisonState {
  readonly now: number;
  readonly contestants: readonly ContestantState[];
}

/** One round of an event loop: when, and how long its thread has computed since the round before. */
export interface Beat {
  readonly at: number;
  readonly busyMs: number;
}

export type Way = 'inline' | 'each' | 'pool';

export interface ContestantState {
  readonly way: Way;
  /** What runs the statements, with its version where it is a package. */
  readonly driver: string;
  readonly clock: {
    /** How often its event loop has come round to its timer since the start. */
    readonly count: number;
    /** Those of the last seconds, or after the `since` of the question. */
    readonly beats: readonly Beat[];
    /** The longest time that its own work has stopped it, in the last ten seconds. */
    readonly longestStopMs: number;
  };
  /** Of the last five seconds; null if no read was answered in them. */
  readonly reads: { readonly perSecond: number; readonly p50: number; readonly p99: number } | null;
  /** Reads and writes that met a locked database since the start. */
  readonly busy: number;
  /** Reads and writes that failed otherwise. */
  readonly failed: number;
  /** The last 100 ms query: how long its caller waited, and how long the event loop was stopped for it. */
  readonly query: { readonly ms: number; readonly stopMs: number } | null;
  /** The last 64 writers. */
  readonly writers: { readonly written: number; readonly busy: number; readonly ms: number } | null;
}
