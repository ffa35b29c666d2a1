import type { Pragmas } from '@sqlite-pool/core';
import type sqlite3 from 'sqlite3';

import { pragmaSql } from '../by-hand.ts';
import type { Contender, Opened, Row } from '../contender.ts';
import { FixedConnections } from './fixed-connections.ts';
import { allOf, closeHandle, getOf, openHandle, runOf } from './handle.ts';

/** Each imports its library when it is opened, so that a run has in memory only what it measures. */

export const fixedConnections: Contender = {
  name: 'sqlite3 by hand, cached statements',
  note: 'the least there can be: a fixed number of connections, a free list, and nothing that a pool is for',
  open: (filename, { connections, pragmas }) => FixedConnections.open(filename, connections, pragmas),
};

export const oneConnection: Contender = {
  name: 'sqlite3, one connection held open',
  note: 'as its README has it; not for transactions, because everybody is in the same one',
  async open(filename, { pragmas }) {
    const handle = await openHandle(filename, pragmas);
    return withConnection(
      (use) => use(handle),
      () => closeHandle(handle),
    );
  },
};

/** What there is without a pool. */
export const connectionPerQuery: Contender = {
  name: 'sqlite3, a connection per query',
  note: 'open, PRAGMAs, query, close',
  async open(filename, { pragmas }) {
    return withConnection(
      async (use) => {
        const handle = await openHandle(filename, pragmas);
        try {
          return await use(handle);
        } finally {
          await closeHandle(handle);
        }
      },
      async () => undefined,
    );
  },
};

export const tarn: Contender = {
  name: 'tarn around sqlite3',
  async open(filename, { connections, pragmas }) {
    const { Pool } = await import('tarn');
    const pool = new Pool({
      create: () => openHandle(filename, pragmas),
      destroy: closeHandle,
      min: 0,
      max: connections,
    });
    return withConnection(
      async (use) => {
        const handle = await pool.acquire().promise;
        try {
          return await use(handle);
        } finally {
          pool.release(handle);
        }
      },
      async () => {
        await pool.destroy();
      },
    );
  },
};

export const genericPool: Contender = {
  name: 'generic-pool around sqlite3',
  open: async (filename, { connections, pragmas }) => {
    const pool = await makeGenericPool(filename, connections, pragmas);
    return withConnection(
      (use) => pool.use(use),
      async () => {
        await pool.drain();
        await pool.clear();
      },
    );
  },
};

async function makeGenericPool(filename: string, connections: number, pragmas: Pragmas) {
  const { default: generic } = await import('generic-pool');
  return generic.createPool(
    { create: () => openHandle(filename, pragmas), destroy: closeHandle },
    { min: 0, max: connections },
  );
}

export const sqlite: Contender = {
  name: 'sqlite',
  note: 'promises around one connection',
  async open(filename, { pragmas }) {
    const [{ open }, { default: driver }] = await Promise.all([import('sqlite'), import('sqlite3')]);
    const database = await open({ filename, driver: driver.Database });
    await database.exec(pragmaSql(pragmas));
    return {
      get: (sql, params) => database.get<Row>(sql, params),
      all: (sql, params) => database.all<Row[]>(sql, params),
      run: (sql, params) => database.run(sql, params),
      close: () => database.close(),
    };
  },
};

export const knex: Contender = {
  name: 'knex',
  note: 'raw(), with its own pool set to ten connections instead of one',
  async open(filename, { connections, pragmas }) {
    const { default: makeKnex } = await import('knex');
    const database = makeKnex({
      client: 'sqlite3',
      connection: { filename },
      useNullAsDefault: true,
      pool: {
        min: 0,
        max: connections,
        afterCreate(handle: sqlite3.Database, done: (error: Error | null) => void) {
          handle.exec(pragmaSql(pragmas), done);
        },
      },
    });
    const raw = async (sql: string, params: readonly unknown[]): Promise<Row[]> =>
      database.raw<Row[]>(sql, params as number[]);
    return {
      get: async (sql, params) => (await raw(sql, params))[0],
      all: raw,
      run: raw,
      close: () => database.destroy(),
    };
  },
};

export const sequelize: Contender = {
  name: 'sequelize',
  note: 'query(); outside of transactions it uses one connection, whatever its pool',
  async open(filename, { connections, pragmas }) {
    const [{ Sequelize, QueryTypes }, { default: dialectModule }] = await Promise.all([
      import('sequelize'),
      import('sqlite3'),
    ]);
    const database = new Sequelize({
      dialect: 'sqlite',
      dialectModule,
      storage: filename,
      logging: false,
      pool: { max: connections },
    });
    for (const [name, value] of Object.entries(pragmas))
      await database.query(`PRAGMA ${name} = ${String(value)}`);
    const all = (sql: string, params: readonly unknown[]): Promise<Row[]> =>
      database.query<Row>(numbered(sql), { bind: params as unknown[], type: QueryTypes.SELECT });
    return {
      get: async (sql, params) => (await all(sql, params))[0],
      all,
      run: (sql, params) => database.query(numbered(sql), { bind: params as unknown[] }),
      close: () => database.close(),
    };
  },
};

const texts = new Map<string, string>();

/** Sequelize binds `$1` and escapes `?` into the text. */
function numbered(sql: string): string {
  let text = texts.get(sql);
  if (text === undefined) {
    let count = 0;
    texts.set(sql, (text = sql.replaceAll('?', () => `$${++count}`)));
  }
  return text;
}

export const dumbo: Contender = {
  name: '@event-driven-io/dumbo',
  note: '0.13 beta, the first with SQLite; nine connections to read and one to write',
  async open(filename, { connections, pragmas }) {
    const [{ dumbo: makePool, SQL }, { sqlite3DumboDriver }] = await Promise.all([
      import('@event-driven-io/dumbo'),
      import('@event-driven-io/dumbo/sqlite3'),
    ]);
    const options = { readerPoolSize: connections - 1, pragmaOptions: pragmas };
    const pool = makePool({ driver: sqlite3DumboDriver, fileName: filename, ...options });
    const all = async (sql: string, params: readonly unknown[]): Promise<readonly Row[]> =>
      (await pool.execute.query<Row>(SQL(template(sql), ...params))).rows;
    return {
      get: async (sql, params) => (await all(sql, params))[0],
      all,
      run: (sql, params) => pool.execute.command(SQL(template(sql), ...params)),
      close: () => pool.close(),
    };
  },
};

const templates = new Map<string, TemplateStringsArray>();

/** What a template literal with a value in place of each `?` is given. */
export function template(sql: string): TemplateStringsArray {
  let strings = templates.get(sql);
  if (!strings) {
    const parts = sql.split('?');
    templates.set(sql, (strings = Object.assign(parts, { raw: parts })));
  }
  return strings;
}

/** `db.get`, `db.all` and `db.run` on whatever connection `withHandle` passes. */
function withConnection(
  withHandle: <T>(use: (handle: sqlite3.Database) => Promise<T>) => PromiseLike<T>,
  close: () => Promise<void>,
): Opened {
  return {
    get: async (sql, params) => await withHandle((handle) => getOf(handle, sql, params)),
    all: async (sql, params) => await withHandle((handle) => allOf(handle, sql, params)),
    run: async (sql, params) => await withHandle((handle) => runOf(handle, sql, params)),
    close,
  };
}
