import type { WireError } from '../protocol.ts';

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/** The part of an error that is sent between the threads. node:sqlite gives a number, better-sqlite3 a name. */
export function describeError(error: unknown): WireError {
  if (!(error instanceof Error)) return { message: String(error), code: '', errno: 0 };
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return {
    message: error.message,
    code: typeof code === 'string' ? code : '',
    errno: typeof errcode === 'number' ? errcode : 0,
  };
}

/** Whether a statement was interrupted. */
export function isInterrupt(error: unknown): boolean {
  const { code, errno } = describeError(error);
  return errno === INTERRUPT || code === 'SQLITE_INTERRUPT';
}
