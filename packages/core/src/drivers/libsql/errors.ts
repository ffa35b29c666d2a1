import { TransactionLostError } from '../../errors.ts';
import type { WireError } from './protocol.ts';

/** A stream ended before its answer came. */
export class StreamLostError extends Error {
  /** Whether the server may have received the request. */
  readonly sent: boolean;

  constructor(sent: boolean, cause: unknown) {
    super('The connection to the server has ended.', { cause });
    this.name = 'StreamLostError';
    this.sent = sent;
  }
}

/** The server does not take this client: most often because of its token. */
export class RefusedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'RefusedError';
  }
}

/** What the server refused, with the name of SQLite's result code. */
export class LibsqlError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'LibsqlError';
    this.code = code;
  }
}

/** The error of a call that its `interrupt` has ended, and that certainly keeps nothing. */
export function interruptedError(): LibsqlError {
  return new LibsqlError('SQLITE_INTERRUPT', 'The call was interrupted.');
}

/** Codes of the server's own, and what SQLite calls the same. */
const CODES: ReadonlyMap<string, string> = new Map([
  ['SQL_PARSE_ERROR', 'SQLITE_ERROR'],
  ['SQL_NO_STATEMENT', 'SQLITE_ERROR'],
  ['SQL_MANY_STATEMENTS', 'SQLITE_ERROR'],
  ['SQL_INPUT_ERROR', 'SQLITE_ERROR'],
  ['SQLITE_UNKNOWN', 'SQLITE_ERROR'],
  ['ARGS_INVALID', 'SQLITE_RANGE'],
  ['ARGS_BOTH_POSITIONAL_AND_NAMED', 'SQLITE_RANGE'],
  ['RESPONSE_TOO_LARGE', 'SQLITE_TOOBIG'],
  ['BLOCKED', 'SQLITE_AUTH'],
  ['TRANSACTION_BUSY', 'SQLITE_BUSY'],
]);

/** The server has taken the lock of a transaction away, or the transaction was too old. */
const TRANSACTION_TIMEOUT = 'TRANSACTION_TIMEOUT';

/** The server sends primary codes only, so the kind of a constraint is read in the text. */
const CONSTRAINTS: readonly (readonly [text: string, kind: string])[] = [
  ['UNIQUE constraint failed', 'UNIQUE'],
  ['NOT NULL constraint failed', 'NOTNULL'],
  ['CHECK constraint failed', 'CHECK'],
  ['FOREIGN KEY constraint failed', 'FOREIGNKEY'],
  ['cannot store', 'DATATYPE'],
];

/** What the server said, as the pool reads it. */
export function serverError({ message, code }: WireError): Error {
  if (code === TRANSACTION_TIMEOUT) return new TransactionLostError(new Error(message));
  if (code === 'SQLITE_CONSTRAINT') return new LibsqlError(constraintCode(message), message);
  if (code?.startsWith('SQLITE_') === true) return new LibsqlError(CODES.get(code) ?? code, message);
  if (message.includes('string or blob too big')) return new LibsqlError('SQLITE_TOOBIG', message);
  if (code === 'RESPONSE_TOO_LARGE')
    return new LibsqlError('SQLITE_TOOBIG', `${message} Read so many rows with iterate().`);
  return new LibsqlError(CODES.get(code ?? '') ?? 'SQLITE_ERROR', message);
}

function constraintCode(message: string): string {
  const kind = CONSTRAINTS.find(([text]) => message.includes(text))?.[1];
  return kind === undefined ? 'SQLITE_CONSTRAINT' : `SQLITE_CONSTRAINT_${kind}`;
}
