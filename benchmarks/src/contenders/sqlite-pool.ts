import { createPool } from '@sqlite-pool/core';
import { sqlite3 } from '@sqlite-pool/core/sqlite3';

import type { Contender } from '../contender.ts';

export const sqlitePool: Contender = {
  name: 'sqlite-pool',
  note: 'with its defaults, which are what all others are given: ten connections and the recommended PRAGMAs',
  async open(filename, { connections, pragmas }) {
    const pool = createPool({ driver: sqlite3({ filename, pragmas }), poolSize: connections });
    await pool.open();
    return {
      get: (sql, params) => pool.get(sql, params as number[]),
      all: (sql, params) => pool.all(sql, params as number[]),
      run: (sql, params) => pool.run(sql, params as number[]),
      close: () => pool.close(),
    };
  },
};
