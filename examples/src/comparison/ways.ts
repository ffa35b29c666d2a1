import { createRequire } from 'node:module';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';

import { createPool } from '@sqlite-pool/core';

import type { Way } from './state.ts';
import { PRAGMAS, statements, type StatementName } from './statements.ts';

/** One way to use SQLite in a server. */
export interface OpenWay {
  readonly driver: string;
  ask(name: StatementName, value: number): Promise<unknown>;
}

/** Opens a database in the way of each contestant. */
export const ways: Readonly<Record<Way, (file: string) => OpenWay>> = { inline, each, pool };

/** What node:sqlite and better-sqlite3 have in common. */
interface SyncDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): { get(value: number): unknown; run(value: number): unknown };
}

/** One connection, and every statement runs where JavaScript runs. */
function inline(file: string): OpenWay {
  const { driver, database } = openSync(file);
  database.exec(PRAGMAS);
  const prepared = {
    read: database.prepare(statements.read),
    write: database.prepare(statements.write),
    query: database.prepare(statements.query),
  };
  return {
    driver,
    ask: async (name, value) => (name === 'write' ? prepared.write.run(value) : prepared[name].get(value)),
  };
}

/** better-sqlite3, if it has a binary for this machine: it is an optional dependency, and nothing is compiled for it. */
function openSync(file: string): { driver: string; database: SyncDatabase } {
  const require = createRequire(import.meta.url);
  try {
    const BetterSqlite3 = require('better-sqlite3') as new (file: string) => SyncDatabase;
    const { version } = require('better-sqlite3/package.json') as { version: string };
    return { driver: `better-sqlite3 ${version}`, database: new BetterSqlite3(file) };
  } catch {
    return { driver: 'node:sqlite', database: new DatabaseSync(file) };
  }
}

/** As many threads as libuv has, which is where the connections of an asynchronous driver run. */
const THREADS = 4;

/** What the thread has caught; not an Error, which would lose its `errcode` on the way. */
export interface ThreadAnswer {
  readonly error?: { readonly message: string; readonly errcode: number | undefined };
}

/** Every call opens a connection of its own, on a thread, and closes it. */
function each(file: string): OpenWay {
  const idle = Array.from(
    { length: THREADS },
    () => new Worker(new URL('./connection-thread.ts', import.meta.url), { workerData: file }),
  );
  const waiting: ((thread: Worker) => void)[] = [];
  const acquire = (): Promise<Worker> => {
    const thread = idle.pop();
    return thread ? Promise.resolve(thread) : new Promise((resolve) => waiting.push(resolve));
  };
  const release = (thread: Worker): void => {
    const next = waiting.shift();
    if (next) next(thread);
    else idle.push(thread);
  };
  return {
    driver: 'node:sqlite',
    async ask(name, value) {
      const thread = await acquire();
      const answered = new Promise<ThreadAnswer>((resolve) => thread.once('message', resolve));
      thread.postMessage({ name, value });
      const { error } = await answered;
      release(thread);
      if (error !== undefined) throw Object.assign(new Error(error.message), error);
      return undefined;
    },
  };
}

function pool(file: string): OpenWay {
  const connections = createPool({ filename: file });
  return {
    driver: `@sqlite-pool/core on ${connections.inspect().driver}`,
    ask: (name, value) =>
      name === 'write'
        ? connections.run(statements.write, [value])
        : connections.get(statements[name], [value]),
  };
}
