import type { Queryable } from '../query/queryable.ts';

/**
 * Whether a request keeps one connection from its first statement on (unless other callers need it in between), or
 * acquires a lease for each statement.
 *
 * @example await app.register(sqlitePool, { filename: 'app.db', lease: 'statement' });
 */
export type LeaseMode = 'request' | 'statement';

/**
 * The `db` of a request: the query methods, and one connection for several of them. After the client has left, they
 * reject with `LeaseEndedError`.
 *
 * @example app.get('/users', (request) => request.db.all('SELECT * FROM users'));
 */
export interface RequestDb extends Queryable {
  /**
   * Runs `fn` with one connection for all its statements. Rejects as the pool's `acquire` does, or as `fn` does.
   * @example await request.db.connection(async (connection) => { … });
   */
  connection<T>(fn: (connection: Queryable) => T | Promise<T>): Promise<T>;
}
