/**
 * Where the pool writes what an operator should read: pino, `console`, or any object with these two methods.
 *
 * @example const pool = createPool({ filename: 'app.db', logger: console, slowStatementMs: 200 });
 */
export interface Logger {
  /** Connections that come and go. */
  debug(fields: object, message: string): void;
  /** Slow statements, leaked leases, forgotten transactions, a WAL that only grows. */
  warn(fields: object, message: string): void;
}
