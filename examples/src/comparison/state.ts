/** What the page of the comparison asks for, four times a second. Times are milliseconds of one clock of the machine. */
export interface ComparisonState {
  readonly now: number;
  readonly contestants: readonly ContestantState[];
}

export type Way = 'inline' | 'each' | 'pool';

export interface ContestantState {
  readonly way: Way;
  /** What runs the statements, with its version where it is a package. */
  readonly driver: string;
  readonly clock: {
    /** How often its event loop has come round to its timer since the start. */
    readonly count: number;
    /** When it did so, of the last seconds, or after the `since` of the question. */
    readonly beats: readonly number[];
    /** Its longest stop in the last ten seconds. */
    readonly longestStopMs: number;
  };
  /** Of the last five seconds; null if no read was answered in them. */
  readonly reads: { readonly perSecond: number; readonly p50: number; readonly p99: number } | null;
  /** Reads and writes that met a locked database since the start. */
  readonly busy: number;
  /** Reads and writes that failed otherwise. */
  readonly failed: number;
  /** The last 100 ms query: how long its caller waited. */
  readonly query: { readonly ms: number } | null;
  /** The last 64 writers. */
  readonly writers: { readonly written: number; readonly busy: number; readonly ms: number } | null;
}
