import type { Pragmas } from '@sqlite-pool/core';
import type BetterSqlite3 from 'better-sqlite3';

import { pragmaSql } from '../by-hand.ts';
import type { Contender, Row } from '../contender.ts';
import { template } from './on-sqlite3.ts';

/** Each imports its library when it is opened, so that a run has in memory only what it measures. */

async function openInline(filename: string, pragmas: Pragmas): Promise<BetterSqlite3.Database> {
  const { default: Database } = await import('better-sqlite3');
  const database = new Database(filename);
  database.exec(pragmaSql(pragmas));
  return database;
}

export const inline: Contender = {
  name: 'better-sqlite3 inline',
  note: 'cached statements; it blocks the event loop while SQLite works, see `mixed`',
  async open(filename, { pragmas }) {
    const database = await openInline(filename, pragmas);
    const statements = new Map<string, BetterSqlite3.Statement>();
    const prepared = (sql: string): BetterSqlite3.Statement => {
      let statement = statements.get(sql);
      if (!statement) statements.set(sql, (statement = database.prepare(sql)));
      return statement;
    };
    return {
      get: async (sql, params) => prepared(sql).get(...params) as Row | undefined,
      all: async (sql, params) => prepared(sql).all(...params) as Row[],
      run: async (sql, params) => prepared(sql).run(...params),
      close: async () => void database.close(),
    };
  },
};

export const kysely: Contender = {
  name: 'kysely',
  note: 'compiled queries on its SqliteDialect: better-sqlite3 inline, one connection',
  async open(filename, { pragmas }) {
    const { CompiledQuery, Kysely, SqliteDialect } = await import('kysely');
    const database = new Kysely<unknown>({
      dialect: new SqliteDialect({ database: await openInline(filename, pragmas) }),
    });
    const all = async (sql: string, params: readonly unknown[]): Promise<Row[]> =>
      (await database.executeQuery(CompiledQuery.raw(sql, [...params]))).rows as Row[];
    return {
      get: async (sql, params) => (await all(sql, params))[0],
      all,
      run: all,
      close: () => database.destroy(),
    };
  },
};

export const collina: Contender = {
  name: '@matteo.collina/sqlite-pool',
  note: 'better-sqlite3 inline; it has no way to set PRAGMAs on each connection',
  async open(filename, { connections }) {
    const { createConnectionPool, sql: format } = await import('@matteo.collina/sqlite-pool');
    const pool = createConnectionPool(filename, {}, { maxSize: connections });
    const all = (sql: string, params: readonly unknown[]): Promise<Row[]> =>
      pool.query(format(template(sql), ...params)) as Promise<Row[]>;
    return {
      get: async (sql, params) => (await all(sql, params))[0],
      all,
      run: all,
      close: () => pool.dispose(),
    };
  },
};

export const workers: Contender = {
  name: 'better-sqlite3-pool',
  note: 'worker threads, nine to read and one to write, on better-sqlite3 13 instead of the fork that it pins',
  async open(filename, { connections, pragmas }) {
    const { default: module } = await import('better-sqlite3-pool');
    const readers = connections - 1;
    const pool = await module.Database.create(filename, { minWorkers: readers, maxWorkers: readers });
    for (const [name, value] of Object.entries(pragmas)) await pool.pragma(`${name} = ${String(value)}`);
    return {
      get: async (sql, params): Promise<Row | undefined> => pool.prepare(sql).get<Row>(...params),
      all: async (sql, params): Promise<Row[]> => pool.prepare(sql).all<Row>(...params),
      run: (sql, params) => pool.prepare(sql).run(...params),
      async close() {
        await pool.close();
      },
    };
  },
};
