import { BusyError, SqliteError, SqlitePoolError, type BrokenConstraint } from './errors.ts';

/** Result codes by number, with name and meaning. https://www.sqlite.org/rescode.html */
const RESULT_CODES: ReadonlyMap<number, readonly [name: string, meaning: string]> = new Map([
  [1, ['SQLITE_ERROR', 'SQLite could not run the statement']],
  [2, ['SQLITE_INTERNAL', 'an internal error in SQLite']],
  [3, ['SQLITE_PERM', 'access was denied']],
  [4, ['SQLITE_ABORT', 'the operation was aborted']],
  [5, ['SQLITE_BUSY', 'the database is locked by another connection']],
  [6, ['SQLITE_LOCKED', 'a table is locked by the same connection']],
  [7, ['SQLITE_NOMEM', 'SQLite ran out of memory']],
  [8, ['SQLITE_READONLY', 'the database is read-only']],
  [9, ['SQLITE_INTERRUPT', 'the statement was interrupted']],
  [10, ['SQLITE_IOERR', 'a disk I/O error']],
  [11, ['SQLITE_CORRUPT', 'the database file is corrupt']],
  [13, ['SQLITE_FULL', 'the disk or the database is full']],
  [14, ['SQLITE_CANTOPEN', 'the database file cannot be opened']],
  [17, ['SQLITE_SCHEMA', 'the schema changed while the statement ran']],
  [18, ['SQLITE_TOOBIG', 'a string or blob is too big']],
  [19, ['SQLITE_CONSTRAINT', 'a constraint failed']],
  [20, ['SQLITE_MISMATCH', 'a value has the wrong type']],
  [21, ['SQLITE_MISUSE', 'the driver was used wrongly']],
  [23, ['SQLITE_AUTH', 'the statement is not authorized']],
  [25, ['SQLITE_RANGE', 'a parameter is out of range']],
  [26, ['SQLITE_NOTADB', 'the file is not a database']],
  [261, ['SQLITE_BUSY_RECOVERY', 'another process is recovering the database']],
  [262, ['SQLITE_LOCKED_SHAREDCACHE', 'a table is locked in the shared cache']],
  [
    517,
    [
      'SQLITE_BUSY_SNAPSHOT',
      'this connection read before another one wrote, in a deferred transaction or with a cursor open: begin again',
    ],
  ],
  [1032, ['SQLITE_READONLY_DBMOVED', 'the database file was moved']],
  [773, ['SQLITE_BUSY_TIMEOUT', 'the database stayed locked by another connection']],
  [275, ['SQLITE_CONSTRAINT_CHECK', 'a CHECK constraint failed']],
  [531, ['SQLITE_CONSTRAINT_COMMITHOOK', 'a commit hook refused']],
  [787, ['SQLITE_CONSTRAINT_FOREIGNKEY', 'a foreign key constraint failed']],
  [1043, ['SQLITE_CONSTRAINT_FUNCTION', 'an extension function refused']],
  [1299, ['SQLITE_CONSTRAINT_NOTNULL', 'a NOT NULL constraint failed']],
  [1555, ['SQLITE_CONSTRAINT_PRIMARYKEY', 'a PRIMARY KEY constraint failed']],
  [1811, ['SQLITE_CONSTRAINT_TRIGGER', 'a trigger raised an error']],
  [2067, ['SQLITE_CONSTRAINT_UNIQUE', 'a UNIQUE constraint failed']],
  [2579, ['SQLITE_CONSTRAINT_ROWID', 'the rowid is not unique']],
  [3091, ['SQLITE_CONSTRAINT_DATATYPE', 'a value has the wrong type for a STRICT table']],
]);

const BUSY = 5;
/**
 * In shared-cache mode, another connection holds the lock. For plain SQLITE_LOCKED it is the same connection, and
 * waiting does not help.
 */
const LOCKED_SHAREDCACHE = 262;

const CONSTRAINT = 19;

/** The numeric result code of a driver's error, in any of the fields that drivers use; -1 if the error has none. */
export function resultCodeOf(error: unknown): number {
  if (typeof error !== 'object' || error === null) return -1;
  const { errno, errcode, code } = error as { errno?: unknown; errcode?: unknown; code?: unknown };
  // Errors of the operating system have negative numbers in the field with the same name.
  for (const number of [errno, errcode, code]) {
    if (typeof number === 'number' && Number.isInteger(number) && number > 0) return number;
  }
  return typeof code === 'string' ? numberOf(code) : -1;
}

/** For an extended code that is not in the list, the primary code. The name of the extended code begins with its name. */
function numberOf(code: string): number {
  let primary = -1;
  for (const [number, [name]] of RESULT_CODES) {
    if (name === code) return number;
    if (number <= 0xff && code.startsWith(`${name}_`)) primary = number;
  }
  return primary;
}

/** SQLite's code for a snapshot that is out of date. Only a new start can help; waiting cannot. */
export const BUSY_SNAPSHOT = 517;

/** Whether a driver's error means that another connection holds a lock, which may be released a moment later. */
export function isLocked(error: unknown): boolean {
  const errno = resultCodeOf(error);
  return (errno & 0xff) === BUSY && errno !== BUSY_SNAPSHOT;
}

/** Whether a driver's error did not come from SQLite. Then the statement may have been done. */
export function isNoAnswer(error: unknown): boolean {
  return !(error instanceof SqlitePoolError) && resultCodeOf(error) === -1;
}

/** READONLY_DBMOVED: the file was moved since the open. https://www.sqlite.org/rescode.html#readonly_dbmoved */
const MOVED = 1032;
/** IOERR, CORRUPT, CANTOPEN, MISUSE (for example of a closed handle) and NOTADB. */
const FATAL: ReadonlySet<number> = new Set([10, 11, 14, 21, 26]);

/** Whether a driver's error means that its connection may no longer work. */
export function isSuspicious(error: unknown): boolean {
  const errno = resultCodeOf(error);
  return isNoAnswer(error) || errno === MOVED || (errno > 0 && FATAL.has(errno & 0xff));
}

/** Whether a driver's error means that a constraint was broken. */
export function isConstraint(error: unknown): boolean {
  return (resultCodeOf(error) & 0xff) === CONSTRAINT;
}

/**
 * The constraints for which SQLite can undo a failed statement alone, whatever it had changed before the failure. When
 * SQLite compiles a statement that may abort for one of these, it calls `sqlite3MayAbort`. It opens a statement journal
 * if the statement may also change more than one row: https://www.sqlite.org/src/file/src/insert.c (NOT NULL, CHECK,
 * UNIQUE, the rowid), fkey.c (foreign keys) and trigger.c (RAISE).
 *
 * After any other error, the earlier changes of the statement may stay. Examples are the type check of a STRICT table,
 * an error inside a function, an overflow and a recursion that is too deep: SQLite opens no statement journal for them
 * (`sqlite3MultiWrite` in build.c).
 */
const UNDONE_ALONE: ReadonlySet<number> = new Set([
  275, // CHECK
  787, // FOREIGNKEY
  1299, // NOTNULL
  1555, // PRIMARYKEY
  1811, // TRIGGER
  2067, // UNIQUE
  2579, // ROWID
]);

/** Whether a statement that failed with this error in a transaction has left no more behind than if it had run alone. */
export function leftNothing(error: unknown): boolean {
  return UNDONE_ALONE.has(resultCodeOf(error));
}

/**
 * Converts a driver's error to one that is safe to show. The message has the name and meaning of the result code.
 * `cause` has the driver's own error, with its names of tables and files. The pool's own errors are returned unchanged.
 */
export function fromDriver(error: unknown): SqlitePoolError {
  if (error instanceof SqlitePoolError) return error;
  const errno = resultCodeOf(error);
  const [name, meaning] = RESULT_CODES.get(errno) ??
    RESULT_CODES.get(errno & 0xff) ?? ['UNKNOWN', 'the driver reported an error without a result code'];
  const primary = errno & 0xff;
  if (primary === BUSY || errno === LOCKED_SHAREDCACHE) return new BusyError(name, errno, meaning, error);
  return new SqliteError(name, errno, meaning, error, constraintOf(errno, error));
}

const KINDS: Readonly<Record<number, BrokenConstraint['kind']>> = {
  275: 'check',
  787: 'foreign-key',
  1299: 'not-null',
  1555: 'primary-key',
  1811: 'trigger',
  2067: 'unique',
  2579: 'rowid',
  3091: 'datatype',
};

/** Reads the constraint from SQLite's message, which names columns as "UNIQUE constraint failed: users.email, users.tenant". */
function constraintOf(errno: number, error: unknown): BrokenConstraint | undefined {
  if ((errno & 0xff) !== CONSTRAINT) return undefined;
  const kind = KINDS[errno] ?? 'other';
  const named = /(?:UNIQUE|NOT NULL) constraint failed: (.+)$/.exec(
    error instanceof Error ? error.message : '',
  );
  const columns = (named?.[1] ?? '').split(', ').map((column) => /^(.+)\.([^.]+)$/.exec(column));
  // An index on an expression is named "index 'name'", and has no columns.
  if (!columns.every((column) => column !== null)) return { kind, table: undefined, columns: [] };
  return { kind, table: columns[0]?.[1], columns: columns.map(([, , name = '']) => name) };
}

/** The error for a driver that did not resolve to a result. */
export function brokenContract(): SqliteError {
  const meaning = 'the connection did not resolve to a result with rows; see docs/drivers.md';
  return new SqliteError('UNKNOWN', -1, meaning, undefined);
}
