import { NameTakenError } from '../errors.ts';
import type { PluginSettings } from './plugin-options.ts';
import { RequestLease, type RequestLeaseOptions } from './request-lease.ts';
import type { ResponseEvents } from './request-lifetime.ts';
import { RequestTransaction, type RequestTransactionOptions } from './request-transaction.ts';

/**
 * A request that has just arrived, as the framework shows it.
 *
 * @example const arrival: RequestArrival = { handle: 'req.db', found: req.db, method: req.method, response: res };
 */
export interface RequestArrival {
  /** How the application writes the handle, for the message of an error. */
  readonly handle: string;
  /** What the request already has in that place. */
  readonly found: unknown;
  /** The HTTP method. */
  readonly method: string;
  /** The response to follow, if there is one. */
  readonly response: ResponseEvents | undefined;
  /** What to say of the request in diagnostics: see `RequestLeaseOptions`. */
  readonly request?: RequestLeaseOptions['request'];
}

/**
 * Makes the lease of a request. Returns `undefined` if the request already has a lease or a transaction of the same
 * pool: a plugin that is applied twice, to an application and to a part of it, has one handle, and so one connection.
 * Throws `NameTakenError` if the request has something else in the place of the handle.
 *
 * @example
 * const lease = leaseRequest(settings, { handle: 'req.db', found: req.db, method: req.method, response: res });
 * if (lease !== undefined) req.db = lease;
 */
export function leaseRequest(
  { pool, mode, disconnectGraceMs }: Pick<PluginSettings, 'pool' | 'mode' | 'disconnectGraceMs'>,
  { handle, found, ...arrival }: RequestArrival,
): RequestLease | undefined {
  if (found === undefined) return new RequestLease(pool, { mode, disconnectGraceMs, ...arrival });
  const isHandle = found instanceof RequestLease || found instanceof RequestTransaction;
  if (isHandle && found.isFor(pool, mode)) return undefined;
  throw new NameTakenError(handle);
}

/**
 * Makes a request one transaction. Returns `undefined` if it is one already: applied twice, it is one transaction. Put
 * the transaction in the place of the lease.
 *
 * @param found - What the request has as its handle: see {@link leaseRequest}.
 * @param options - The options of the transaction, checked with `checkRequestTransaction`.
 * @example
 * const transaction = beginTransaction(req.db, { timeoutMs: 2000 });
 * if (transaction !== undefined) req.db = transaction;
 */
export function beginTransaction(
  found: unknown,
  options: RequestTransactionOptions,
): RequestTransaction | undefined {
  return found instanceof RequestLease ? new RequestTransaction(found, options) : undefined;
}
