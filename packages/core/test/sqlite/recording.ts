import type { Connection, Driver, PoolOptions } from '../../src/index.ts';
import { driverOf } from './helpers.ts';

/**
 * The default driver without its `batch`, so that the pool runs each statement of one, and the texts of all statements its connections were given, in order.
 *
 * @param replaced - What SQLite gets for a text.
 */
export function recording(
  options: PoolOptions & { readonly filename: string },
  replaced: (sql: string) => string = (sql) => sql,
): {
  readonly driver: Driver;
  readonly texts: string[];
} {
  const driver = driverOf(options);
  const texts: string[] = [];
  const record = (connection: Connection): Connection =>
    new Proxy(connection, {
      get(target, name) {
        if (name === 'batch') return undefined;
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (name !== 'execute' && name !== 'script') return Reflect.apply(value, target, args) as unknown;
          const [sql, ...rest] = args as [string];
          texts.push(sql);
          return Reflect.apply(value, target, [replaced(sql), ...rest]) as unknown;
        };
      },
    });
  return { driver: { ...driver, open: async () => record(await driver.open()) }, texts };
}
