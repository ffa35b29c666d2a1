import type { RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { BusyError, SqliteError } from '../errors.ts';

const FIRST_ERROR_STATUS = 400;
const FIRST_SERVER_ERROR_STATUS = 500;

/** What an operator should read of one request. Written at the end of the response, because its status is known then. */
export class RequestReport {
  #failure: SqliteError | BusyError | undefined;
  #forgotCommit = false;

  /** A statement of the request has failed. The last failure is the one that the handler did not handle. */
  failed(error: unknown): void {
    if (error instanceof SqliteError || error instanceof BusyError) this.#failure = error;
  }

  /** The response began while a transaction was open that the handler had begun by hand. */
  forgotCommit(): void {
    this.#forgotCommit = true;
  }

  /** The response has ended. */
  write(observer: Observer, status: number, origin: () => RequestOrigin | undefined): void {
    if (this.#forgotCommit && status < FIRST_ERROR_STATUS) {
      const request = origin();
      const where = request?.route === undefined ? 'A request' : `The handler of ${request.route}`;
      observer.warn('SQLITE_POOL_FORGOTTEN_COMMIT', `${where} ${FORGOTTEN}`, {}, request);
    }
    const error = this.#failure;
    if (error === undefined || status < FIRST_SERVER_ERROR_STATUS) return;
    const { sql } = error;
    const message = `A statement failed, and the request was answered with ${String(status)}: ${error.message}`;
    observer.logError(message, { err: error, sql }, origin());
  }
}

const FORGOTTEN =
  'began a transaction with BEGIN, and responded before its COMMIT. The pool rolled it back. Commit before you respond, or use transaction().';
