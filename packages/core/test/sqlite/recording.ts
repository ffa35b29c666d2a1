import { sqlite3, type Connection, type Driver, type Sqlite3Options } from '../../src/index.ts';

/** The sqlite3 driver, and the texts of all statements its connections were given, in order. */
export function recording(options: Sqlite3Options): { readonly driver: Driver; readonly texts: string[] } {
  const driver = sqlite3(options);
  const texts: string[] = [];
  const record = (connection: Connection): Connection =>
    new Proxy(connection, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          if (name === 'execute' || name === 'script') texts.push(String(args[0]));
          return Reflect.apply(value, target, args) as unknown;
        };
      },
    });
  return { driver: { ...driver, open: async () => record(await driver.open()) }, texts };
}
