import type { WireError } from '../protocol.ts';

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/**
 * The part of an error that is sent between the threads. node:sqlite gives a number, better-sqlite3 a name. A function
 * of the application can throw anything.
 */
export function describeError(error: unknown): WireError {
  try {
    if (!(error instanceof Error)) return { message: String(error), code: '', errno: 0 };
    const { message, code, errcode } = error as { message: unknown; code?: unknown; errcode?: unknown };
    return {
      message: String(message),
      code: typeof code === 'string' ? code : '',
      errno: typeof errcode === 'number' ? errcode : 0,
    };
  } catch {
    return { message: 'An error that cannot be read.', code: '', errno: 0 };
  }
}

/** Whether SQLite itself has reported the error. */
export function hasResultCode(error: unknown): boolean {
  const { code, errno } = describeError(error);
  return errno > 0 || code.startsWith('SQLITE_');
}

/** The error of a statement that SQLite has ended, because a function of the application threw `error` in it. */
export function functionFailed(error: unknown): Error {
  return Object.assign(new Error(describeError(error).message), { code: 'SQLITE_ERROR', errcode: 1 });
}

/** Whether a statement was interrupted. */
export function isInterrupt(error: unknown): boolean {
  const { code, errno } = describeError(error);
  return errno === INTERRUPT || code === 'SQLITE_INTERRUPT';
}
