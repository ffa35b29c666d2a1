import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sqlite3 from 'sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse, parseScript, type Statement } from '../../src/query/sql.ts';
import { SAMPLES, SCHEMA } from './sql-corpus.ts';

/** What SQLite itself says of each statement, compared with what the pool reads from its text. */

const BUSY = 5;
const RANGE = 25;

interface Outcome {
  readonly rows: readonly unknown[];
  readonly code: number;
  readonly message: string;
}

/** The sqlite3 package, as it is. */
class Raw {
  readonly #database: sqlite3.Database;

  private constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  static open(path: string): Promise<Raw> {
    return new Promise((done, fail) => {
      const database = new sqlite3.Database(path, (error) => {
        if (error === null) done(new Raw(database));
        else fail(error);
      });
    });
  }

  all(sql: string, params: readonly unknown[] = []): Promise<Outcome> {
    return new Promise((done) => {
      this.#database.all(
        sql,
        params,
        (error: (Error & { errno?: number }) | null, rows: unknown[] | undefined) => {
          done({ rows: rows ?? [], code: error?.errno ?? 0, message: error?.message ?? '' });
        },
      );
    });
  }

  exec(sql: string): Promise<string> {
    return new Promise((done) => {
      this.#database.exec(sql, (error) => {
        done(error?.message ?? '');
      });
    });
  }

  close(): Promise<void> {
    return new Promise((done, fail) => {
      this.#database.close((error) => {
        if (error === null) done();
        else fail(error);
      });
    });
  }
}

let directory: string;
let copies = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const template = await Raw.open(join(directory, 'template.db'));
  expect(await template.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; ${SCHEMA}`)).toBe(
    '',
  );
  await template.close();
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** A path to a fresh copy of the database. */
async function freshFile(): Promise<string> {
  copies += 1;
  const path = join(directory, `${String(copies)}.db`);
  await copyFile(join(directory, 'template.db'), path);
  return path;
}

async function withFresh<T>(use: (database: Raw) => Promise<T>): Promise<T> {
  const database = await Raw.open(await freshFile());
  await database.exec('PRAGMA synchronous = OFF');
  try {
    return await use(database);
  } finally {
    await database.close();
  }
}

const PRAGMAS = [
  'foreign_keys',
  'cache_size',
  'synchronous',
  'temp.user_version',
  'recursive_triggers',
  'query_only',
];
const MORE_PRAGMAS = [
  'defer_foreign_keys',
  'busy_timeout',
  'temp_store',
  'case_sensitive_like',
  'journal_mode',
];

/** What a connection keeps of its user. */
async function stateOf(database: Raw): Promise<unknown[]> {
  const queries = [
    'SELECT name FROM pragma_database_list WHERE seq > 1',
    'SELECT type, name, sql FROM sqlite_temp_schema',
    ...[...PRAGMAS, ...MORE_PRAGMAS].map((name) => `PRAGMA ${name}`),
  ];
  const state: unknown[] = [];
  for (const query of queries) state.push((await database.all(query)).rows);
  return state;
}

async function inTransaction(database: Raw): Promise<boolean> {
  return (await database.exec('BEGIN; ROLLBACK')) !== '';
}

/** Runs a statement where another connection holds the write lock, inside the transaction it may need. */
async function needsLock({ sql, control }: Statement): Promise<boolean> {
  const path = await freshFile();
  const [writer, other] = [await Raw.open(path), await Raw.open(path)];
  try {
    expect(await writer.exec('PRAGMA synchronous = OFF; BEGIN IMMEDIATE')).toBe('');
    await other.exec('PRAGMA synchronous = OFF; PRAGMA busy_timeout = 0');
    if (control !== 'none' && control !== 'begin') await other.exec('BEGIN; SAVEPOINT s');
    return ((await other.all(sql)).code & 0xff) === BUSY;
  } finally {
    await other.close();
    await writer.close();
  }
}

const nulls = (count: number): null[] => Array.from({ length: count }, () => null);

const TOTALS = 'SELECT total_changes() AS changes, last_insert_rowid() AS rowid';
type Totals = readonly [{ readonly changes: number; readonly rowid: number }];

const described = SAMPLES.map((sample) => ({ ...sample, title: JSON.stringify(sample.sql) }));

test.concurrent.for(described)(
  '$title takes a write lock only if it says so',
  async ({ sql, cautious = [] }) => {
    const statement = parse(sql);
    const locks = await needsLock(statement);
    const valid = await withFresh(async (database) => (await database.all(statement.sql)).code === 0);
    if (locks) expect(statement.readonly).toBe(false);
    else if (valid) expect(statement.readonly).toBe(!cautious.includes('lock'));
  },
);

test.concurrent.for(described)(
  '$title leaves state, rows and counts only if it says so',
  async ({ sql, cautious = [] }) => {
    const { sql: text, taints, returnsRows, readonly, effect } = parse(sql);
    await withFresh(async (database) => {
      const state = await stateOf(database);
      // The driver's rows have no type of their own: TOTALS says what they are.
      const [totals] = (await database.all(TOTALS)).rows as unknown as Totals;
      const { rows } = await database.all(text);
      const [totalsAfter] = (await database.all(TOTALS)).rows as unknown as Totals;
      const dirty = JSON.stringify(await stateOf(database)) !== JSON.stringify(state);
      expect(taints).toBe(dirty || cautious.includes('state'));
      if (!returnsRows) expect(rows).toEqual([]);
      if (readonly) expect(totalsAfter).toEqual(totals);
      if (effect === 'change') expect(totalsAfter.rowid).toBe(totals.rowid);
    });
  },
);

test.concurrent.for(described)('$title begins and ends a transaction as it says', async ({ sql }) => {
  const { sql: text, control } = parse(sql);
  await withFresh(async (database) => {
    await database.all(text);
    expect(await inTransaction(database)).toBe(control === 'begin' || control === 'savepoint');
    await database.exec('ROLLBACK');
    await database.exec('BEGIN; SAVEPOINT s');
    await database.all(text);
    expect(await inTransaction(database)).toBe(control !== 'commit' && control !== 'rollback');
  });
});

test.concurrent.for(described)('$title has as many parameters as SQLite can bind', async ({ sql }) => {
  const { sql: text, parameters } = parse(sql);
  await withFresh(async (database) => {
    const { code } = await database.all(text, nulls(parameters.length + 1));
    const exact = await database.all(text, nulls(parameters.length));
    expect(exact.code).not.toBe(RANGE);
    if (exact.code === 0) expect(code).toBe(RANGE);
  });
});

const limited = described.filter(({ sql }) => parse(sql).firstRow.sql !== parse(sql).sql);

test.concurrent.for(limited)('$title has the same first row, or error, with LIMIT 1', async ({ sql }) => {
  const { sql: text, firstRow, parameters } = parse(sql);
  await withFresh(async (database) => {
    const whole = await database.all(text, nulls(parameters.length));
    const first = await database.all(firstRow.sql, nulls(parameters.length));
    expect(first.code).toBe(whole.code);
    expect(first.rows).toEqual(whole.rows.slice(0, 1));
  });
});

/** Scripts, with the number of their statements. */
const SCRIPTS: readonly (readonly [script: string, statements: number])[] = [
  ['', 0],
  [' ;; -- nothing\n; /* at all */ ;', 0],
  ['CREATE TABLE n (a); INSERT INTO n VALUES (1); INSERT INTO n VALUES (2)', 3],
  ["INSERT INTO u VALUES (';', 'a;''b'); DELETE FROM t", 2],
  ['CREATE TABLE "a;b" ([c;d], `e;f`); INSERT INTO "a;b" VALUES (1, 2);', 2],
  ['/* ; */ DELETE FROM t -- ;\n; DELETE FROM u', 2],
  [
    'CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE u SET x = 1; DELETE FROM u WHERE x = 2; END; INSERT INTO t (b) VALUES (1)',
    2,
  ],
  [
    'CREATE TEMP TRIGGER IF NOT EXISTS g AFTER INSERT ON t WHEN new.a > 0 BEGIN ' +
      'SELECT CASE WHEN 1 THEN 2 END; INSERT INTO u VALUES (CASE 1 WHEN 1 THEN 9 END, 9); END; INSERT INTO t (b) VALUES (1);',
    2,
  ],
  ['CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; /* ; END; */ END /* x */ ; DELETE FROM u', 2],
  ['CREATE TRIGGER "END" AFTER INSERT ON t BEGIN SELECT 1 AS "; END ;"; END; DELETE FROM u', 2],
  ['EXPLAIN CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; DELETE FROM u', 2],
  ['EXPLAIN QUERY PLAN CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END; DELETE FROM u', 2],
  ['CREATE TABLE trigger (a); INSERT INTO trigger VALUES (1); END; DELETE FROM u', 4],
  ['CREATE VIEW trigger AS SELECT 1; DELETE FROM u', 2],
  ['CREATE TEMP TABLE trigger (a); INSERT INTO trigger VALUES (1); DELETE FROM u', 3],
  ['BEGIN; INSERT INTO t (b) VALUES (7); COMMIT; BEGIN; DELETE FROM t; ROLLBACK', 6],
  ['SAVEPOINT a; DELETE FROM u; ROLLBACK TO a; RELEASE a', 4],
  ['DELETE FROM u; NONSENSE; DELETE FROM t', 3],
  ["DELETE FROM u; SELECT 'unterminated; DELETE FROM t", 2],
  ['\uFEFFDELETE FROM u;\uFEFF DELETE FROM t', 2],
];

async function contentOf(database: Raw): Promise<unknown[]> {
  const content: unknown[] = [
    (await database.all('SELECT type, name, sql FROM sqlite_schema ORDER BY name')).rows,
  ];
  for (const table of ['t', 'u', '"a;b"', 'n', 'trigger'])
    content.push((await database.all(`SELECT * FROM ${table}`)).rows);
  return content;
}

test.concurrent.for(SCRIPTS)('the script %j is split where SQLite splits it', async ([script, count]) => {
  const statements = parseScript(script);
  expect(statements).toHaveLength(count);
  const whole = await withFresh(async (database) => {
    const message = await database.exec(script);
    return [message, await contentOf(database)];
  });
  const pieces = await withFresh(async (database) => {
    let message = '';
    for (const { sql } of statements) if (message === '') message = await database.exec(sql);
    return [message, await contentOf(database)];
  });
  expect(pieces).toEqual(whole);
});
