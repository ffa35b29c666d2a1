import { expect, test } from 'vitest';
import { SqliteError, type SqlitePool } from '../../src/index.ts';
import { failure, poolWithTable } from './helpers.ts';

async function pool(): Promise<SqlitePool> {
  const made = await poolWithTable({});
  await made.script(
    `CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, tenant, age CHECK (age > 0), UNIQUE (email, tenant));
     CREATE TABLE posts (user REFERENCES users);
     INSERT INTO users VALUES (1, 'a@b.c', 1, 1)`,
  );
  return made;
}

test.for([
  ['INSERT INTO users (email, tenant) VALUES (?, 1)', 'unique', 'users', ['email', 'tenant']],
  ['UPDATE users SET email = NULL WHERE ? IS NOT NULL', 'not-null', 'users', ['email']],
  ['INSERT INTO users (email, age) VALUES (?, 0)', 'check', undefined, []],
  ['INSERT INTO posts VALUES (7 + (? IS NULL))', 'foreign-key', undefined, []],
] as const)('the error of %s says which constraint it broke', async ([sql, kind, table, columns]) => {
  const db = await pool();
  const error = await failure(db.run(sql, ['a@b.c']));
  expect(error).toBeInstanceOf(SqliteError);
  expect(error['constraint']).toEqual({ kind, table, columns });
});

test('the error of an index on an expression names no column', async () => {
  const db = await pool();
  await db.script('CREATE UNIQUE INDEX lower_email ON users (lower(email))');
  const error = await failure(db.run("INSERT INTO users (email, tenant) VALUES ('A@B.C', 2)"));
  expect(error['constraint']).toEqual({ kind: 'unique', table: undefined, columns: [] });
});

test('an error has the text of its statement, which nothing sends to a client', async () => {
  const db = await pool();
  const wrong = ' /* of a page */ SELECT secret FROM users; -- as written';
  const calls: [string, () => Promise<unknown>][] = [
    [wrong, () => db.all(wrong)],
    // The pool asks for one row, and for a plan, in words of its own.
    [wrong, () => db.get(wrong)],
    [wrong, () => db.explain(wrong)],
    [wrong, () => db.batch(['SELECT 1', wrong, 'SELECT 2'])],
    [wrong, () => db.transaction((tx) => tx.batch(['SELECT 1', wrong]))],
    ['INSERT INTO nowhere VALUES (1)', () => db.run('INSERT INTO nowhere VALUES (1)')],
    [`SELECT 1; ${wrong}`, () => db.script(`SELECT 1; ${wrong}`)],
    [
      wrong,
      async () => {
        for await (const row of db.iterate(wrong)) expect(row).toBeUndefined();
      },
    ],
  ];
  for (const [sql, call] of calls) {
    const error = await failure(call());
    expect(error['sql']).toBe(sql);
    expect(error.message).not.toContain('secret');
    expect(JSON.stringify(error)).not.toContain('secret');
    expect(Object.keys(error)).not.toContain('sql');
  }
});

test('writes that share a COMMIT have each the text of their own', async () => {
  const db = await pool();
  const texts = [
    'INSERT INTO users (id, email) VALUES (1, ?)',
    'INSERT INTO users (id, email) VALUES (?, NULL)',
  ];
  const errors = await Promise.all(texts.map((sql, at) => failure(db.run(sql, [at]))));
  expect(errors.map((error) => error['sql'])).toEqual(texts);
});

test('a value that was read can be bound again', async () => {
  const db = await pool();
  const row = await db.get('SELECT id, email FROM users');
  // No cast: the type of a column is a type that can be bound.
  expect(
    await db.get('SELECT 1 AS one FROM users WHERE id = ? AND email = ?', [row!['id']!, row!['email']!]),
  ).toEqual({
    one: 1,
  });
});
