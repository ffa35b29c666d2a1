import { hide, RetryableError, SqlitePoolError } from './base.ts';

/**
 * SQLite refused the statement. The error has the name of the (extended) result code; `cause` has the error of the
 * driver.
 *
 * @example if (error instanceof SqliteError && error.sqliteCode === 'SQLITE_CONSTRAINT_UNIQUE') return 'taken';
 */
export class SqliteError extends SqlitePoolError {
  /** The name of the result code, `SQLITE_CONSTRAINT_UNIQUE` for example, or `UNKNOWN` if the driver gave none. */
  readonly sqliteCode: string;
  /** The extended result code (https://www.sqlite.org/rescode.html), or -1. */
  readonly errno: number;
  /** The text of the statement that failed, if one statement did. Not enumerable, and never part of the message. */
  declare readonly sql?: string;
  /** The constraint that the statement broke, as far as SQLite names it. Not enumerable. */
  declare readonly constraint?: BrokenConstraint;

  constructor(
    sqliteCode: string,
    errno: number,
    meaning: string,
    cause: unknown,
    constraint?: BrokenConstraint,
  ) {
    super('SQLITE_ERROR', `${sqliteCode}: ${meaning} (details in error.cause)`, cause);
    this.sqliteCode = sqliteCode;
    this.errno = errno;
    if (constraint !== undefined) hide(this, 'constraint', constraint);
  }
}

/**
 * A constraint that a statement broke.
 *
 * @example
 * if (error instanceof SqliteError && error.constraint?.kind === 'unique' && error.constraint.columns.includes('email'))
 *   return reply.code(409).send({ error: 'This address is taken.' });
 */
export interface BrokenConstraint {
  readonly kind:
    | 'check'
    | 'datatype'
    | 'foreign-key'
    | 'not-null'
    | 'primary-key'
    | 'rowid'
    | 'trigger'
    | 'unique'
    | 'other';
  /** The table; `undefined` where SQLite does not name it, as for a foreign key. */
  readonly table: string | undefined;
  /** The columns, in order; empty where SQLite does not name them. */
  readonly columns: readonly string[];
}

/**
 * Another process held the database for longer than `acquireTimeoutMs`. Or this connection wants to write after a
 * read (in a deferred transaction or with an open cursor), and another connection has written since that read
 * (`SQLITE_BUSY_SNAPSHOT`).
 *
 * @example if (error instanceof BusyError && error.sqliteCode === 'SQLITE_BUSY_SNAPSHOT') runAgain();
 */
export class BusyError extends RetryableError {
  /** The name of the result code: `SQLITE_BUSY`, `SQLITE_BUSY_SNAPSHOT` … */
  readonly sqliteCode: string;
  /** The extended result code (https://www.sqlite.org/rescode.html). */
  readonly errno: number;
  /** The text of the statement that failed, if one statement did. Not enumerable, and never part of the message. */
  declare readonly sql?: string;

  constructor(sqliteCode: string, errno: number, meaning: string, cause: unknown) {
    super('SQLITE_BUSY', `${sqliteCode}: ${meaning} (details in error.cause)`, cause);
    this.sqliteCode = sqliteCode;
    this.errno = errno;
  }
}

/** Notes the statement that failed. Errors that did not come from SQLite have none. @internal */
export function noteSql(error: unknown, sql: string): unknown {
  if ((error instanceof SqliteError || error instanceof BusyError) && error.sql === undefined)
    hide(error, 'sql', sql);
  return error;
}
