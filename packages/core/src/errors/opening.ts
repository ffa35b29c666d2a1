import { RetryableError, SqlitePoolError, unavailable } from './base.ts';

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
