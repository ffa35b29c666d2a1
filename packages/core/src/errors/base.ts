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

/** The whole answer of an error after which a caller can try again later. */
export function unavailable(): Response {
  return new Response('Service Unavailable', {
    status: 503,
    headers: { 'Retry-After': RETRY_AFTER_SECONDS },
  });
}

/** Sets a property that is not enumerable, so that `JSON.stringify` does not send it to a client. */
export function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, configurable: true, writable: true });
}
