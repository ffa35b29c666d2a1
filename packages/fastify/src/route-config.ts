import { InvalidArgumentError } from '@sqlite-pool/core';
import { checkRequestTransaction, type RequestTransactionOptions } from '@sqlite-pool/core/plugin';

/**
 * What a route may say in its `config.sqlite`.
 *
 * @example app.post('/orders', { config: { sqlite: { transaction: true, timeoutMs: 2000 } } }, handler);
 */
export interface SqliteRouteConfig<Name extends string = string> extends RequestTransactionOptions {
  /** Makes the handler one transaction: of `request.db`, or of the databases with these names. */
  readonly transaction?: boolean | Name | readonly Name[] | undefined;
}

/**
 * How the requests of a route are a transaction of the database `name`; `undefined` if they are none.
 *
 * Throws `InvalidArgumentError` for a configuration that cannot work.
 */
export function transactionOf(config: unknown, name: string): RequestTransactionOptions | undefined {
  if (config === undefined) return undefined;
  if (typeof config !== 'object' || config === null) {
    throw new InvalidArgumentError('config.sqlite of a route must be an object, like { transaction: true }.');
  }
  const { transaction = false, ...options } = config as SqliteRouteConfig;
  checkRequestTransaction(options);
  const names: unknown[] =
    typeof transaction === 'boolean' ? (transaction ? ['db'] : []) : [transaction].flat();
  if (!names.every((one) => typeof one === 'string')) {
    throw new InvalidArgumentError(
      'config.sqlite.transaction of a route must be true, the name of a database or an array of names.',
    );
  }
  return names.includes(name) ? options : undefined;
}
