import type { Pragmas } from '@sqlite-pool/core';
import type sqlite3 from 'sqlite3';

import type { Opened, Row } from '../contender.ts';
import { closeHandle, finalize, openHandle, prepare } from './handle.ts';

interface Connection {
  readonly handle: sqlite3.Database;
  readonly statements: Map<string, sqlite3.Statement>;
}

type Done<T> = (error: Error | null, value: T) => void;

/**
 * What one writes who wants speed and nothing else: a fixed number of connections, statements prepared once on each, a
 * free list and a queue. No deadline, no cancellation, no write lock, no reset, no bound on the statements.
 */
export class FixedConnections implements Opened {
  readonly #all: readonly Connection[];
  readonly #free: Connection[];
  readonly #waiting: ((connection: Connection) => void)[] = [];

  private constructor(connections: readonly Connection[]) {
    this.#all = connections;
    this.#free = [...connections];
  }

  static async open(filename: string, count: number, pragmas: Pragmas): Promise<FixedConnections> {
    const connections: Connection[] = [];
    while (connections.length < count)
      connections.push({ handle: await openHandle(filename, pragmas), statements: new Map() });
    return new FixedConnections(connections);
  }

  // `all`, because a statement that is kept and was stepped with `get` keeps its read open.
  async get(sql: string, params: readonly unknown[]): Promise<Row | undefined> {
    return (await this.all(sql, params))[0];
  }

  all(sql: string, params: readonly unknown[]): Promise<Row[]> {
    return this.#use<Row[]>(sql, (statement, done) => void statement.all<Row>(params, done));
  }

  run(sql: string, params: readonly unknown[]): Promise<unknown> {
    return this.#use<unknown>(sql, (statement, done) => void statement.run(params, done));
  }

  async close(): Promise<void> {
    for (const { handle, statements } of this.#all) {
      for (const statement of statements.values()) await finalize(statement);
      await closeHandle(handle);
    }
  }

  #use<T>(sql: string, call: (statement: sqlite3.Statement, done: Done<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const use = (connection: Connection): void => {
        const done: Done<T> = (error, value) => {
          this.#release(connection);
          if (error) reject(error);
          else resolve(value);
        };
        const statement = connection.statements.get(sql);
        if (statement) call(statement, done);
        else {
          prepare(connection.handle, sql).then(
            (prepared) => {
              connection.statements.set(sql, prepared);
              call(prepared, done);
            },
            (error: unknown) => {
              this.#release(connection);
              reject(error);
            },
          );
        }
      };
      const free = this.#free.pop();
      if (free) use(free);
      else this.#waiting.push(use);
    });
  }

  #release(connection: Connection): void {
    const next = this.#waiting.shift();
    if (next) next(connection);
    else this.#free.push(connection);
  }
}
