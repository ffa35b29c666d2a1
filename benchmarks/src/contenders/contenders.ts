import type { Contender, Opened } from '../contender.ts';
import { PRAGMAS } from '../by-hand.ts';
import * as better from './on-better-sqlite3.ts';
import * as sqlite3 from './on-sqlite3.ts';
import { sqlitePool, sqlitePoolOnSqlite3 } from './sqlite-pool.ts';

export { sqlitePool, sqlitePoolOnSqlite3 };
export const { connectionPerQuery, fixedConnections, oneConnection } = sqlite3;

/** Those that one could use instead, on the sqlite3 package. */
export const onSqlite3: readonly Contender[] = [
  sqlite3.oneConnection,
  sqlite3.sqlite,
  sqlite3.knex,
  sqlite3.sequelize,
  sqlite3.genericPool,
  sqlite3.tarn,
  sqlite3.dumbo,
];

export const onBetterSqlite3: readonly Contender[] = [
  better.inline,
  better.kysely,
  better.collina,
  better.workers,
];

export const everyone: readonly Contender[] = [
  sqlitePool,
  sqlitePoolOnSqlite3,
  fixedConnections,
  connectionPerQuery,
  ...onSqlite3,
  ...onBetterSqlite3,
];

/** As many as `poolSize` is by default. */
const CONNECTIONS = 10;

/** Opens a contender by its name, with what all have in common. */
export function open(name: string, filename: string): Promise<Opened> {
  const contender = everyone.find((each) => each.name === name);
  if (!contender) throw new Error(`There is no contender ${name}.`);
  return contender.open(filename, { connections: CONNECTIONS, pragmas: PRAGMAS });
}
