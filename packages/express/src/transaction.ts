/**
 * A request of Express as one transaction. It holds back the response until the COMMIT. An application that does not import this does
 * not load it.
 *
 * @module
 */
import { InvalidArgumentError } from '@sqlite-pool/core';
import { commitBefore } from '@sqlite-pool/core/held-response';
import { checkRequestTransaction, type RequestTransactionOptions } from '@sqlite-pool/core/plugin';
import type { RequestHandler } from 'express';
import type { SqlitePoolHandler } from './index.ts';

/**
 * Makes middleware that turns what comes after it into one transaction: committed before the response leaves, rolled back
 * if its status is 400 or higher. If the COMMIT fails, the error handlers answer instead. The route needs no `app.use(db)`.
 *
 * Throws `InvalidArgumentError` for an option that is invalid.
 *
 * @param db - The middleware that `sqlitePool()` has made.
 * @param options - `mode` (default: `immediate`), and `timeoutMs`: the longest time in milliseconds from the first statement to
 *   the COMMIT (default: `Infinity`).
 * @example
 * app.post('/orders', transaction(db), async (req, res) => {
 *   const { lastInsertRowid } = await req.db.run('INSERT INTO orders (user) VALUES (?)', [req.body.user]);
 *   res.status(201).json({ id: lastInsertRowid }); // sent after the COMMIT
 * });
 */
export function transaction(db: SqlitePoolHandler, options: RequestTransactionOptions = {}): RequestHandler {
  if (typeof (db as Partial<SqlitePoolHandler> | undefined)?.begin !== 'function') {
    throw new InvalidArgumentError('transaction() takes the middleware that sqlitePool() has made.');
  }
  checkRequestTransaction(options);
  return (req, res, next) => {
    void db(req, res, (error?: unknown) => {
      // Applied twice, it is one transaction.
      const own = error === undefined ? db.begin(req, options) : undefined;
      if (own === undefined) {
        next(error);
        return;
      }
      commitBefore(res, own, next);
      own.around(next);
    });
  };
}
