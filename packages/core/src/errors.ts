/**
 * All errors of the pool are in this file. So the list of codes is closed, and each code has a heading in
 * docs/errors.md.
 *
 * Two rules hold for all of them. A message never contains SQL text, a parameter or a file path, because web frameworks
 * send messages to clients. The error of SQLite or the driver is kept as `cause`. `cause` is not enumerable, so that
 * `JSON.stringify(error)` cannot send it either.
 */

/**
 * The closed list of codes. docs/errors.md explains what to do for each.
 *
 * @example const code: ErrorCode = 'ACQUIRE_TIMEOUT';
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'NAME_TAKEN'
  | 'DRIVER_MISSING'
  | 'DRIVER_CONFLICT'
  | 'CONNECTION_LOST'
  | 'UNSUPPORTED'
  | 'OPEN_FAILED'
  | 'POOL_CLOSED'
  | 'POOL_OVERLOADED'
  | 'ACQUIRE_TIMEOUT'
  | 'OPERATION_TIMEOUT'
  | 'UNHEALTHY'
  | 'STATEMENT_TIMEOUT'
  | 'OUTCOME_UNKNOWN'
  | 'LEASE_ENDED'
  | 'TRANSACTION_ACTIVE'
  | 'TRANSACTION_LOST'
  | 'SQLITE_ERROR'
  | 'SQLITE_BUSY';

/** The seconds after which a client may try again: long enough for a queue to drain, and not longer than needed. */
const RETRY_AFTER_SECONDS = '1';

/**
 * The base class of every error of the pool.
 *
 * @example
 * try { await pool.get('SELECT 1') } catch (error) {
 *   if (error instanceof SqlitePoolError && error.code === 'ACQUIRE_TIMEOUT') retryLater();
 * }
 */
export class SqlitePoolError extends Error {
  /** The code of this error. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    if (cause !== undefined) hide(this, 'cause', cause);
  }
}

/**
 * The base class of the errors after which a caller can try again later.
 *
 * Fastify and Express read `statusCode` and `headers`, Hono calls `getResponse()`. All three answer 503 with
 * `Retry-After`, and this package imports none of them.
 *
 * @example if (error instanceof RetryableError) response.writeHead(error.statusCode, error.headers).end();
 */
export class RetryableError extends SqlitePoolError {
  /** The HTTP status for this error. */
  readonly statusCode: number = 503;
  /** The same, under the name that Express and Koa read first. */
  readonly status: number = 503;
  /** The headers that a framework adds to its answer. */
  readonly headers: Readonly<Record<string, string>> = { 'Retry-After': RETRY_AFTER_SECONDS };

  /**
   * The whole answer as a Fetch API `Response`, for Hono.
   *
   * @example if (error instanceof RetryableError) return error.getResponse();
   */
  getResponse(): Response {
    return unavailable();
  }
}

function unavailable(): Response {
  return new Response('Service Unavailable', {
    status: 503,
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
  });
}

/**
 * An option, an SQL text or a parameter is invalid. The pool has sent nothing to SQLite.
 *
 * @example await pool.get('SELECT ?', [undefined]); // rejects with it
 */
export class InvalidArgumentError extends SqlitePoolError {
  constructor(message: string, cause?: unknown) {
    super('INVALID_ARGUMENT', message, cause);
  }
}

/**
 * The name of a plugin's database is already in use: by another database, or by the framework itself.
 *
 * @example
 * await app.register(sqlitePool, { filename: 'audit.db' }); // rejects with it if there is a database 'db' already
 */
export class NameTakenError extends SqlitePoolError {
  /** The name in use, as the application writes it: `request.audit`. */
  readonly handle: string;

  constructor(handle: string, cause?: unknown) {
    super(
      'NAME_TAKEN',
      `The name ${handle} is taken. Give this database another name, with the option name.`,
      cause,
    );
    this.handle = handle;
  }
}

/**
 * The database driver is not installed, or its native part cannot be loaded. `cause` has the error of the loader.
 *
 * @example
 * await pool.open().catch((error) => {
 *   if (error instanceof DriverMissingError) console.error(error.message, error.cause);
 *   throw error;
 * });
 */
export class DriverMissingError extends SqlitePoolError {
  constructor(message: string, cause?: unknown) {
    super('DRIVER_MISSING', message, cause);
  }
}

/**
 * Two drivers in one process open the same database file.
 *
 * Each driver brings its own copy of SQLite, and two copies in one process break each other's POSIX locks:
 * https://www.sqlite.org/howtocorrupt.html#multiple_copies_of_sqlite_linked_into_the_same_application
 *
 * @example
 * const second = createPool({ driver: { ...sqlite3({ filename: 'app.db' }), name: 'another' } });
 * await second.open(); // rejects with it while another pool has app.db open
 */
export class DriverConflictError extends SqlitePoolError {
  constructor(first: string, second: string) {
    super(
      'DRIVER_CONFLICT',
      `This database file is already open in this process through the driver "${first}"; a second one ("${second}") ` +
        'would break its locks and lose writes. Use one driver per file.',
    );
  }
}

/**
 * What a call has done whose connection was lost. `none`: it did nothing, or only read. `undone`: it was part of a transaction
 * that was rolled back. `unknown`: it may have been done; it is then the `cause` of an {@link OutcomeUnknownError}.
 *
 * @example if (error instanceof ConnectionLostError && error.outcome === 'undone') await pool.transaction(work);
 */
export type LostOutcome = 'none' | 'undone' | 'unknown';

/**
 * The connection to the database was lost while a call ran on it, or before (`cause` says how): the thread that ran it has ended,
 * or the network or the server has failed. Another connection takes its place, so the call may be made again unless `outcome` is
 * `unknown`.
 *
 * @example if (error instanceof ConnectionLostError && error.outcome === 'none') return await pool.get(sql);
 */
export class ConnectionLostError extends RetryableError {
  /** What is left of the call. */
  readonly outcome: LostOutcome;

  constructor(cause: unknown, outcome: LostOutcome = 'none') {
    super('CONNECTION_LOST', `The connection to the database was lost. ${LOST[outcome]}`, cause);
    this.outcome = outcome;
  }
}

const LOST: Readonly<Record<LostOutcome, string>> = {
  none: 'Nothing of this call was kept.',
  undone: 'The transaction was rolled back.',
  unknown: 'Whether this call was done is not known.',
};

/**
 * The connection lacks an ability that the call needs (scripts, cursors).
 *
 * @example if (error instanceof UnsupportedError) rows = await pool.all(sql); // instead of iterate()
 */
export class UnsupportedError extends SqlitePoolError {
  constructor(message: string) {
    super('UNSUPPORTED', message);
  }
}

/**
 * The reasons why a database could not be opened. docs/errors.md explains each.
 *
 * @example const reason: OpenFailure = 'missing-directory';
 */
export type OpenFailure =
  | 'missing-directory'
  | 'missing-file'
  | 'is-a-directory'
  | 'not-permitted'
  | 'read-only'
  | 'not-a-database'
  | 'replaced'
  | 'unreachable'
  | 'unknown';

/**
 * A connection could not be opened. `reason` has the reason, `cause` the error of the driver. With the reason `unreachable` a later try
 * may succeed, as with a {@link RetryableError}, and frameworks answer 503.
 *
 * @example if (error instanceof OpenError && error.reason === 'missing-directory') await mkdir('data');
 */
export class OpenError extends SqlitePoolError {
  /** The reason, as far as it is known. */
  readonly reason: OpenFailure;
  /** The HTTP status, where the server of the database cannot be reached. */
  declare readonly statusCode?: 503;
  /** The same, under the name Express and Koa look for first. */
  declare readonly status?: 503;
  /** Headers a framework sends along. */
  declare readonly headers?: Readonly<Record<string, string>>;
  /** The whole answer, for Hono. */
  declare readonly getResponse?: () => Response;

  constructor(reason: OpenFailure, message: string, cause?: unknown) {
    super('OPEN_FAILED', message, cause);
    this.reason = reason;
    if (reason !== 'unreachable') return;
    const { statusCode, status, headers } = new RetryableError(this.code, message);
    Object.assign(this, { statusCode, status, headers });
    Object.defineProperty(this, 'getResponse', { value: unavailable });
  }
}

/**
 * The pool is closed, or closing. It leases no connections any more.
 *
 * @example if (error instanceof PoolClosedError) return; // the program is about to end
 */
export class PoolClosedError extends RetryableError {
  constructor() {
    super('POOL_CLOSED', 'The pool is closed. Create a new one, or stop using it before you close it.');
  }
}

/**
 * The queue of the pool, or of one lease or transaction, is full (`maxWaiting`). The pool refused this call at once.
 *
 * @example if (error instanceof PoolOverloadedError) response.status(503).end();
 */
export class PoolOverloadedError extends RetryableError {
  constructor(maxWaiting: number, where: 'pool' | 'connection' = 'pool') {
    super(
      'POOL_OVERLOADED',
      where === 'pool'
        ? `The pool is overloaded: ${String(maxWaiting)} acquires wait already (maxWaiting). Try again later.`
        : `The connection is overloaded: ${String(maxWaiting)} calls of its lease or transaction wait already (maxWaiting). ` +
            'Await some of them before you make more, or use batch().',
    );
  }
}

/**
 * What an acquire was waiting for at its deadline.
 *
 * @example const phase: AcquirePhase = 'write';
 */
export type AcquirePhase = 'wait' | 'open' | 'validate' | 'write';

/**
 * The state of the pool when an acquire reached its deadline.
 *
 * @example const { leased, waiting }: AcquireCounts = error.counts;
 */
export interface AcquireCounts {
  readonly poolSize: number;
  readonly leased: number;
  readonly idle: number;
  readonly opening: number;
  readonly waiting: number;
}

const PHASES: Record<AcquirePhase, string> = {
  wait: 'every connection was in use',
  open: 'a connection was still being opened',
  validate: 'an idle connection was still being checked',
  write: 'another write held the database',
};

/**
 * Within `acquireTimeoutMs`, no connection became free, or the write lock did not become free.
 *
 * `phase` says what was missing. In phase `write` the usual cause is a transaction that takes long, or a lease with a
 * `BEGIN` of its own whose holder also writes on the pool. `cause`, if any, is the newest error of opening a connection.
 * `holders` has the stacks of the leases in force, when `leakWarningMs` is on.
 *
 * @example if (error instanceof AcquireTimeoutError) console.error(error.phase, error.counts, error.holders);
 */
export class AcquireTimeoutError extends RetryableError {
  /** What the acquire was waiting for at the deadline. */
  readonly phase: AcquirePhase;
  /** The state of the pool at that moment. */
  readonly counts: AcquireCounts;
  /**
   * The stack of the acquire of each lease in force: empty unless `leakWarningMs` is on. Not enumerable, because it has
   * file paths.
   */
  declare readonly holders: readonly string[];

  constructor(
    timeoutMs: number,
    phase: AcquirePhase,
    counts: AcquireCounts,
    holders: readonly string[],
    cause?: unknown,
  ) {
    const { leased, idle, opening, poolSize, waiting } = counts;
    super(
      'ACQUIRE_TIMEOUT',
      `The acquire took longer than ${String(Math.round(timeoutMs))} ms: ${PHASES[phase]} ` +
        `(leased ${String(leased)}, idle ${String(idle)}, opening ${String(opening)} of ${String(poolSize)}; ` +
        `waiting ${String(waiting)}).` +
        (phase === 'write' ? ' Inside a transaction, use its own handle, not the pool.' : ''),
      cause,
    );
    this.phase = phase;
    this.counts = counts;
    Object.defineProperty(this, 'holders', { value: holders });
  }
}

/**
 * An open, a health check, a reset, a rollback or a close took longer than `operationTimeoutMs`. Or a COMMIT did, of a
 * transaction that has written nothing.
 *
 * @example if (error instanceof OperationTimeoutError) console.error(pool.stats().quarantined);
 */
export class OperationTimeoutError extends SqlitePoolError {
  constructor(operation: string, timeoutMs: number) {
    super(
      'OPERATION_TIMEOUT',
      `The ${operation} of a connection took longer than ${String(timeoutMs)} ms (operationTimeoutMs).`,
    );
  }
}

/**
 * A health check of the pool failed, or took too long. `cause` holds the reason.
 *
 * @example pool.health().catch((error) => error instanceof UnhealthyError && restart());
 */
export class UnhealthyError extends RetryableError {
  constructor(what: string, cause: unknown) {
    super('UNHEALTHY', `${what} (details in error.cause).`, cause);
  }
}

/**
 * A statement or transaction reached its `timeoutMs` and was interrupted. Nothing of it is kept. A single write outside
 * a transaction rejects with {@link OutcomeUnknownError} instead, if SQLite had already begun it.
 *
 * @example await pool.all(sql, [], { timeoutMs: 200 }); // rejects with it after 200 ms
 */
export class StatementTimeoutError extends RetryableError {
  constructor(what: 'statement' | 'transaction', timeoutMs: number) {
    super(
      'STATEMENT_TIMEOUT',
      `The ${what} took longer than ${String(timeoutMs)} ms, the wait for the write lock included, and was cancelled.`,
    );
  }
}

/**
 * A write or a COMMIT was sent to SQLite, and its outcome is unknown. It may be done, or may be done later. `cause` has
 * the reason why the pool has no answer: the `StatementTimeoutError`, the reason of the `signal`, the `LeaseEndedError`
 * or `PoolClosedError`. Or it has an answer from which the outcome cannot be known.
 *
 * Do not run the write again blindly. Read the database first, by a key of your own.
 *
 * @example
 * const id = crypto.randomUUID();
 * try {
 *   await pool.run('INSERT INTO orders (id, item) VALUES (?, ?)', [id, item], { timeoutMs: 1000 });
 * } catch (error) {
 *   if (!(error instanceof OutcomeUnknownError)) throw error;
 *   if (await pool.get('SELECT 1 FROM orders WHERE id = ?', [id])) return 'done';
 *   throw error;
 * }
 */
export class OutcomeUnknownError extends SqlitePoolError {
  constructor(cause: unknown) {
    super(
      'OUTCOME_UNKNOWN',
      'A write was sent to the database, and whether it was done is not known. Look before you try again.',
      cause,
    );
  }
}

/**
 * The lease, transaction or request of this handle has ended. The pool has sent nothing to SQLite.
 *
 * @example
 * await lease.release();
 * await lease.get('SELECT 1'); // rejects with it
 */
export class LeaseEndedError extends SqlitePoolError {
  constructor(message: string) {
    super('LEASE_ENDED', message);
  }
}

/**
 * A transaction runs on this connection, and this call is not part of it. Or the call is made on the pool in the
 * callback of a transaction, and would wait for something that this transaction holds: the write lock, or the last
 * connection.
 *
 * @example
 * await lease.transaction(async (tx) => {
 *   await lease.get('SELECT 1'); // rejects with it: use tx
 * });
 */
export class TransactionActiveError extends SqlitePoolError {
  constructor(
    message: string = 'A transaction is running on this connection. Use the handle its callback was given, or await the transaction first.',
  ) {
    super('TRANSACTION_ACTIVE', message);
  }
}

/**
 * SQLite has rolled back the transaction by itself (after a full disk, an interrupt, an `ON CONFLICT ROLLBACK` …).
 * Later statements would commit one by one, so the pool refuses them: https://www.sqlite.org/lang_transaction.html
 *
 * @example
 * await pool.transaction(async (tx) => {
 *   await tx.run('INSERT OR ROLLBACK INTO users (id) VALUES (1)').catch(() => undefined);
 *   await tx.get('SELECT 1'); // rejects with it if that INSERT has rolled back
 * });
 */
export class TransactionLostError extends SqlitePoolError {
  constructor(cause?: unknown) {
    super(
      'TRANSACTION_LOST',
      'SQLite rolled this transaction back after an error. Let the transaction end, and run it again from its start.',
      cause,
    );
  }
}

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

/** Notes the statement that failed. Errors that did not come from SQLite have none. @internal */
export function noteSql(error: unknown, sql: string): unknown {
  if ((error instanceof SqliteError || error instanceof BusyError) && error.sql === undefined)
    hide(error, 'sql', sql);
  return error;
}

/** Sets a property that is not enumerable, so that `JSON.stringify` does not send it to a client. */
function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, configurable: true, writable: true });
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
