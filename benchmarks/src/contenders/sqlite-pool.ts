import { createPool, type Driver, type Pragmas } from '@sqlite-pool/core';

import type { Contender } from '../contender.ts';

interface DriverOptions {
  readonly filename: string;
  readonly pragmas: Pragmas;
}

/** The pool on one of its drivers. `load` imports the driver, so that a run has in memory only what it measures. */
export function poolOn(
  name: string,
  load: () => Promise<(options: DriverOptions) => Driver>,
  note?: string,
): Contender {
  return {
    name,
    ...(note === undefined ? {} : { note }),
    async open(filename, { connections, pragmas }) {
      const driver = (await load())({ filename, pragmas });
      const pool = createPool({ driver, poolSize: connections });
      await pool.open();
      return {
        get: (sql, params) => pool.get(sql, params as number[]),
        all: (sql, params) => pool.all(sql, params as number[]),
        run: (sql, params) => pool.run(sql, params as number[]),
        close: () => pool.close(),
      };
    },
  };
}

export const sqlitePool: Contender = poolOn(
  'sqlite-pool',
  async () => (await import('@sqlite-pool/core/node-sqlite')).nodeSqlite,
  'with its defaults, which are what all others are given: ten connections and the recommended PRAGMAs',
);

/** On the package that most of the others are on. */
export const sqlitePoolOnSqlite3: Contender = poolOn(
  'sqlite-pool on sqlite3',
  async () => (await import('@sqlite-pool/core/sqlite3')).sqlite3,
  'with its driver for sqlite3',
);
