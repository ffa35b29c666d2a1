import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createPool, SqlitePoolError, type Queryable, type SqlitePool } from '../../src/index.ts';
import { oddity, parameters, sqlText, value } from './property-input.ts';

let directory: string;
let pool: SqlitePool;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  pool = createPool({
    filename: join(directory, 'test.db'),
    poolSize: 2,
    statementTimeoutMs: 5000,
    pragmas: { synchronous: 'OFF' },
  });
  await pool.script('CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2), (3, 4)');
});

afterEach(async () => {
  await pool.close();
  await rm(directory, { recursive: true, force: true });
});

type Method = (db: Queryable, sql: unknown, params: unknown) => Promise<unknown>;

/** Every method, as JavaScript callers can call it. */
const METHODS: Readonly<Record<string, Method>> = {
  execute: (db, sql, params) => db.execute(sql as string, params as []),
  arrays: (db, sql, params) => db.execute(sql as string, params as [], { rowMode: 'array' }),
  get: (db, sql, params) => db.get(sql as string, params as []),
  all: (db, sql, params) => db.all(sql as string, params as []),
  run: (db, sql, params) => db.run(sql as string, params as []),
  script: (db, sql) => db.script(sql as string),
  iterate: async (db, sql, params) => {
    for await (const _row of db.iterate(sql as string, params as [])) return;
  },
};

const method = fc.constantFrom(...Object.values(METHODS));

/** Fails unless the call resolves, or rejects with an error of the pool. */
async function settles(call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof SqlitePoolError)) throw error;
    expect(['INVALID_ARGUMENT', 'SQLITE_ERROR', 'STATEMENT_TIMEOUT', 'TRANSACTION_LOST']).toContain(
      error.code,
    );
  }
}

/** The pool has all its connections back, in autocommit, and answers. */
async function isWell(): Promise<void> {
  await pool.transaction((tx) => tx.all('SELECT * FROM sqlite_schema'));
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  expect(pool.stats()).toMatchObject({
    leased: 0,
    waiting: 0,
    quarantined: 0,
    writerHeld: false,
    writersWaiting: 0,
  });
}

test('F61 whatever text and parameters a method is given, it settles with an answer or a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(
      method,
      fc.oneof({ weight: 9, arbitrary: sqlText.map((sql) => () => sql) }, { weight: 1, arbitrary: oddity }),
      parameters,
      (call, sql, params) => settles(() => call(pool, sql(), params())),
    ),
    { numRuns: 1500 },
  );
  await isWell();
});

test('F61 whatever parameters a right statement is given, it settles with an answer or a typed error', async () => {
  const statement = fc.constantFrom(
    'SELECT ?',
    'SELECT :a',
    'SELECT ?, :a, ?1',
    'UPDATE t SET b = ? WHERE a = ?',
    'SELECT 1',
  );
  await fc.assert(
    fc.asyncProperty(method, statement, parameters, (call, sql, params) =>
      settles(() => call(pool, sql, params())),
    ),
    { numRuns: 1500 },
  );
  await isWell();
});

// Each run costs its connection, and opening one takes longer on a worker thread.
test('F61 whatever a lease runs, the next user of its connection finds nothing of it', async () => {
  const calls = fc.array(fc.tuple(method, sqlText, parameters), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(calls, async (list) => {
      await pool.connection(async (lease) => {
        for (const [call, sql, params] of list) await settles(() => call(lease, sql, params()));
      });
      await pool.connection(async (lease) => {
        expect(await lease.all('SELECT name FROM sqlite_temp_schema')).toEqual([]);
        expect(await lease.all('SELECT name FROM pragma_database_list WHERE seq > 1')).toEqual([]);
        await lease.run('BEGIN IMMEDIATE');
      });
    }),
    { numRuns: 150 },
  );
  await isWell();
}, 60_000);

/** What comes back for a value: SQLite has neither booleans nor bigints nor a negative zero of its own. */
function stored(bound: unknown): unknown {
  if (typeof bound === 'boolean' || typeof bound === 'bigint') return Number(bound);
  return bound instanceof Uint8Array ? Uint8Array.from(bound) : Object.is(bound, -0) ? 0 : bound;
}

/** What has come back: one driver reads bytes as a Buffer, and another one keeps a negative zero. */
function plain(row: object | undefined): object {
  const plainRow: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(row ?? {}) as [string, unknown][])
    plainRow[name] = typeof value === 'bigint' ? value : stored(value);
  return plainRow;
}

test('a value that can be bound comes back exactly, by position and by name', async () => {
  const values = fc.array(value, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(values, async (list) => {
      const names = list.map((_, at) => `v${String(at)}`);
      const expected = Object.fromEntries(names.map((name, at) => [name, stored(list[at])]));
      const inOrder = `SELECT ${names.map((name) => `? AS ${name}`).join(', ')}`;
      const byName = `SELECT ${names.map((name) => `:${name} AS ${name}`).join(', ')}`;
      // The arbitrary makes nothing that is no bindable value.
      const params = list as string[];
      expect(plain(await pool.get(inOrder, params))).toEqual(expected);
      const named = Object.fromEntries(names.map((name, at) => [name, params[at]!]));
      expect(plain(await pool.get(byName, named))).toEqual(expected);
      const { rows } = await pool.execute(inOrder, params, { rowMode: 'array' });
      const cells: unknown[] = Object.values(plain(rows[0]));
      expect(cells).toEqual(Object.values(expected));
    }),
    { numRuns: 400 },
  );
});

test('a value that can be bound is the same in a table, however it is written', async () => {
  await fc.assert(
    fc.asyncProperty(value, async (bound) => {
      const params = [bound as string];
      const [returned] = await pool.all('INSERT INTO t (a) VALUES (?) RETURNING a, rowid', params);
      const { lastInsertRowid } = await pool.run('INSERT INTO t (a) VALUES (?)', params);
      const written = await pool.get('SELECT a FROM t WHERE rowid = ?', [lastInsertRowid]);
      expect(plain(written)).toEqual({ a: stored(bound) });
      expect(plain(returned)).toEqual({ a: stored(bound), rowid: Number(lastInsertRowid) - 1 });
    }),
    { numRuns: 200 },
  );
});

test('a value of a megabyte comes back exactly', async () => {
  const text = '\u{1F600}é\0'.repeat(200_000);
  const bytes = Uint8Array.from(Buffer.alloc(1_000_000, 'abc'));
  const row = await pool.get<{ text: string; bytes: Uint8Array }>('SELECT ? AS text, ? AS bytes', [
    text,
    bytes,
  ]);
  expect(row?.text === text).toBe(true);
  expect(Buffer.compare(row!.bytes, bytes)).toBe(0);
});
