import { RetryableError, SqlitePoolError } from './base.ts';

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
 * callback of `transaction()` or `connection()`, and would wait for something that this callback holds: the write lock,
 * or the last connection.
 *
 * @example
 * await lease.transaction(async (tx) => {
 *   await lease.get('SELECT 1'); // rejects with it: use tx
 * });
 */
export class TransactionActiveError extends SqlitePoolError {
  constructor(
    message: string = 'A transaction is running on this connection. Use the handle its callback was given, or await the transaction first.',
    cause?: unknown,
  ) {
    super('TRANSACTION_ACTIVE', message, cause);
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
