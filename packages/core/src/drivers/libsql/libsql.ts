import type { Driver } from '../../driver.ts';
import { libsqlDriver } from './driver.ts';
import type { LibsqlOptions } from './options.ts';

export { type LibsqlOptions } from './options.ts';

/**
 * The driver for a libSQL server (`sqld`), which several processes and machines can share. It needs the `ws` package.
 *
 * Throws `InvalidArgumentError` for an option that cannot work. Opening rejects with `DriverMissingError` where `ws` is missing, and with
 * an `OpenError` where the server cannot be reached in `connectTimeoutMs` (reason `unreachable`), or does not take the token
 * (`not-permitted`).
 *
 * @example const pool = createPool({ driver: libsql({ url: 'ws://db.internal:8080', authToken: () => readToken() }) });
 */
export function libsql(options: LibsqlOptions): Driver {
  return libsqlDriver(options);
}
