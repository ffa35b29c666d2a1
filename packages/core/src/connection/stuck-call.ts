import type { Observer } from '../diagnostics/observer.ts';

/** A native call that does not return, so that the pool has abandoned its connection. */
export interface StuckCall {
  /** The statement, as its caller wrote it; `undefined` if it is the close of the connection. */
  readonly sql: string | undefined;
  /** Whether the connection held the write lock. */
  readonly writes: boolean;
}

/** Names the call: until it returns, it keeps its thread, and perhaps every other writer of the file. */
export function warnOfStuckCall(observer: Observer, { sql, writes }: StuckCall): void {
  const what = sql === undefined ? 'The close of a connection does' : 'A statement was cancelled, but does';
  const writers = writes
    ? ' It may hold the write lock of the file. Then every other write fails with SQLITE_BUSY until it returns.'
    : '';
  const which = sql === undefined ? '' : ` The statement: ${sql}`;
  observer.warn(
    'SQLITE_POOL_STUCK',
    `${what} not return. The pool goes on without its connection.${writers}${which}`,
    {
      sql,
      writes,
    },
  );
}
