import { resultCodeOf } from '../../driver-errors.ts';
import type { WireError } from './protocol.ts';

/** Converts an error of the binding in the worker to the form in which drivers report it. */
export function bindingError({ message, code, errno }: WireError): Error {
  const result = errno > 0 ? errno : resultCodeOf({ code });
  return Object.assign(new Error(message), { errno: result, code });
}

/** https://www.sqlite.org/rescode.html#interrupt */
const INTERRUPT = 9;

/** The error of a withdrawn call, as if SQLite had interrupted it. */
export function withdrawnError(): Error {
  return Object.assign(new Error('interrupted before it began'), {
    errno: INTERRUPT,
    code: 'SQLITE_INTERRUPT',
  });
}
