import { RECOMMENDED_PRAGMAS, type Pragmas } from '@sqlite-pool/core';
import sqlite3 from 'sqlite3';

import type { Row } from './contender.ts';

/** The same for everybody; the busy timeout is what most documentation recommends. */
export const PRAGMAS: Pragmas = { ...RECOMMENDED_PRAGMAS, busy_timeout: 5000 };

export function pragmaSql(pragmas: Pragmas): string {
  return Object.entries(pragmas)
    .map(([name, value]) => `PRAGMA ${name} = ${String(value)};`)
    .join(' ');
}

type Callback<T> = (error: Error | null, value: T) => void;

/** A connection of the sqlite3 package as one writes it by hand: opened once, statements prepared once. */
export class HandConnection implements AsyncDisposable {
  readonly #database: sqlite3.Database;
  readonly #statements = new Map<string, sqlite3.Statement>();

  private constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  static async open(filename: string, pragmas: Pragmas): Promise<HandConnection> {
    const database = await new Promise<sqlite3.Database>((resolve, reject) => {
      const opening = new sqlite3.Database(filename, (error) => (error ? reject(error) : resolve(opening)));
    });
    const connection = new HandConnection(database);
    await connection.script(pragmaSql(pragmas));
    return connection;
  }

  script(sql: string): Promise<void> {
    return promise<undefined>((done) => this.#database.exec(sql, done as (error: Error | null) => void));
  }

  async run(sql: string, params: readonly unknown[] = []): Promise<void> {
    const statement = await this.#prepared(sql);
    await promise<undefined>((done) => statement.run(params, done as (error: Error | null) => void));
  }

  async all(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    const statement = await this.#prepared(sql);
    return promise<Row[]>((done) => statement.all(params, done));
  }

  interrupt(): void {
    this.#database.interrupt();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const statement of this.#statements.values())
      await promise<undefined>((done) => statement.finalize(done as () => void));
    await promise<undefined>((done) => this.#database.close(done as (error: Error | null) => void));
  }

  async #prepared(sql: string): Promise<sqlite3.Statement> {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = await new Promise<sqlite3.Statement>((resolve, reject) => {
      const preparing = this.#database.prepare(sql, (error) => (error ? reject(error) : resolve(preparing)));
    });
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** https://www.sqlite.org/rescode.html#busy */
export function isBusy(error: unknown): boolean {
  return (error as { errno?: number }).errno === sqlite3.BUSY;
}

function promise<T>(call: (done: Callback<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, value) => (error ? reject(error) : resolve(value)));
  });
}
