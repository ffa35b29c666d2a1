import { resultCodeOf } from '../../driver-errors.ts';
import type { WireError } from './protocol.ts';

/** What a binding threw in the worker, as drivers report it. */
export function bindingError({ message, code, errno }: WireError): Error {
  const result = errno > 0 ? errno : resultCodeOf({ code });
  return Object.assign(new Error(message), { errno: result, code });
}

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/** What a call that was taken back rejects with, as if SQLite had interrupted it. */
export function withdrawnError(): Error {
  return Object.assign(new Error('interrupted before it began'), {
    errno: INTERRUPT,
    code: 'SQLITE_INTERRUPT',
  });
}
