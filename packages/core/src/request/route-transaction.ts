import { InvalidArgumentError } from '../errors.ts';
import { checkRequestTransaction, type RequestTransactionOptions } from './request-transaction.ts';

/**
 * What the configuration of a route says of its transactions, in a framework whose routes have one.
 *
 * @example app.post('/orders', { config: { sqlite: { transaction: true, timeoutMs: 2000 } } }, handler);
 */
export interface RouteTransaction<Name extends string = string> extends RequestTransactionOptions {
  /** Makes the handler one transaction: of the database `db`, or of the databases with these names. */
  readonly transaction?: boolean | Name | readonly Name[] | undefined;
}

/**
 * How the requests of a route are a transaction of the database `name`; `undefined` if they are none.
 *
 * Throws `InvalidArgumentError` for a configuration that cannot work.
 *
 * @param config - The {@link RouteTransaction} of the route, unchecked; `undefined` if it has none.
 * @param name - The name of the handle.
 * @param place - Where the configuration stands, for the message of an error.
 * @example const options = transactionOf(route.config?.sqlite, 'db', 'config.sqlite');
 */
export function transactionOf(
  config: unknown,
  name: string,
  place: string,
): RequestTransactionOptions | undefined {
  if (config === undefined) return undefined;
  if (typeof config !== 'object' || config === null) {
    throw new InvalidArgumentError(`${place} of a route must be an object, like { transaction: true }.`);
  }
  const { transaction = false, ...options } = config as RouteTransaction;
  checkRequestTransaction(options);
  const names: unknown[] =
    typeof transaction === 'boolean' ? (transaction ? ['db'] : []) : [transaction].flat();
  if (!names.every((one) => typeof one === 'string')) {
    throw new InvalidArgumentError(
      `${place}.transaction of a route must be true, the name of a database or an array of names.`,
    );
  }
  return names.includes(name) ? options : undefined;
}
