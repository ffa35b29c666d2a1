import type { Clock } from '../waiting/deadline.ts';
import {
  acquireChannel,
  queryChannel,
  releaseChannel,
  slowChannel,
  type PoolEvent,
  type QueryEvent,
  type RequestOrigin,
} from './events.ts';
import type { Logger } from './logger.ts';

/** The settings of an observer. */
export interface ObserverSettings {
  readonly clock: Clock;
  readonly poolName: string;
  readonly driver: { readonly name: string; readonly database?: string | undefined };
  readonly slowStatementMs: number;
  readonly logger: Logger | undefined;
}

/** What a pool reports, and to whom. Every event of the pool begins with the fields of its observer. */
export class Observer {
  readonly clock: Clock;
  readonly source: PoolEvent;
  readonly #slowStatementMs: number;
  readonly #logger: Logger | undefined;

  constructor(pool: object, { clock, poolName, driver, slowStatementMs, logger }: ObserverSettings) {
    this.clock = clock;
    this.source = { pool, poolName, database: driver.database, driver: driver.name };
    this.#slowStatementMs = slowStatementMs;
    this.#logger = logger;
  }

  /** Whether anything wants to know about single calls. */
  get watchesQueries(): boolean {
    return this.#slowStatementMs < Infinity || queryChannel.hasSubscribers;
  }

  /** Whether anything wants to know who acquires a connection. */
  get listens(): boolean {
    return this.watchesQueries || acquireChannel.hasSubscribers || releaseChannel.hasSubscribers;
  }

  /** A call has ended. */
  ended(query: QueryEvent): void {
    if (Number(query.durationMs) < this.#slowStatementMs) return;
    slowChannel.publish(query);
    const { sql, durationMs, waitMs, lockMs, runMs, rows, errorCode } = query;
    const times = { durationMs, waitMs, lockMs, runMs };
    this.warn(
      'SQLITE_POOL_SLOW',
      `A statement took ${String(Math.round(Number(durationMs)))} ms: ${sql}`,
      { sql, ...times, rows, errorCode },
      query.request,
    );
  }

  /** Tells the operator. Without a logger it is a warning of the process. */
  warn(code: string, message: string, fields: object = {}, request?: RequestOrigin): void {
    const logger = request?.log ?? this.#logger;
    if (logger === undefined) {
      process.emitWarning(message, { type: 'SqlitePoolWarning', code });
      return;
    }
    this.#log(() => {
      logger.warn({ code, pool: this.source.poolName, ...requestFields(request), ...fields }, message);
    });
  }

  /** Tells the operator of an error that a caller also gets. Only a logger hears of it. */
  logError(message: string, fields: object, request: RequestOrigin | undefined): void {
    if (request?.log !== undefined || this.#logger !== undefined)
      this.warn('SQLITE_POOL_REQUEST_FAILED', message, fields, request);
  }

  /** Tells the operator of what goes as it should. */
  debug(message: string, fields: object = {}): void {
    this.#log(() => this.#logger?.debug({ pool: this.source.poolName, ...fields }, message));
  }

  /** A logger that throws must not fail a call that succeeded, nor keep a connection from being closed. */
  #log(write: () => void): void {
    try {
      write();
    } catch (error) {
      const why = error instanceof Error ? error.message : 'it threw no Error';
      process.emitWarning(`The logger of the pool ${this.source.poolName} failed: ${why}`, {
        type: 'SqlitePoolWarning',
        code: 'SQLITE_POOL_LOGGER_FAILED',
      });
    }
  }
}

/** Where a lease was acquired, in a sentence for an operator. `stack`: that of its acquire, if it was recorded. */
export function whereAcquired(stack: string | undefined): string {
  return stack === undefined
    ? 'Set leakWarningMs to see where it was acquired.'
    : `It was acquired here:\n${stack}`;
}

/** A logger of the request itself adds its id. */
function requestFields(request: RequestOrigin | undefined): object {
  if (request === undefined) return {};
  const { id, route, log } = request;
  return log === undefined ? { requestId: id, route } : { route };
}
