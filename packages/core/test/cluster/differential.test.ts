import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fromDriver } from '../../src/driver-errors.ts';
import type { Connection, Value } from '../../src/index.ts';
import type { BatchedStatement, ExecuteHint, Result } from '../../src/driver.ts';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { nodeSqlite } from '../../src/drivers/worker/node-sqlite.ts';
import { parse } from '../../src/query/sql.ts';
import { SQLD } from '../../../../conformance/libsql-server.ts';
import { Random } from '../histories/random.ts';
import { connectionTo, serverOf, WIRES } from '../drivers/libsql/servers.ts';

const STATEMENTS = 10_000;

const SCHEMA = [
  'CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER UNIQUE, v, CHECK (n IS NULL OR n < 90))',
  'CREATE TABLE b (id TEXT PRIMARY KEY, a REFERENCES a ON DELETE CASCADE, r REAL) WITHOUT ROWID',
  'CREATE TABLE s (n INTEGER NOT NULL, t TEXT) STRICT',
  'CREATE TABLE l (id INTEGER PRIMARY KEY AUTOINCREMENT, what)',
  'CREATE TRIGGER g AFTER INSERT ON a WHEN new.n % 7 = 3 BEGIN INSERT INTO l (what) VALUES (new.n); END',
];

/** One random statement and its values. */
function statementOf(dice: (sides: number) => number): { sql: string; params: Value[] } {
  const pick = <T>(...list: readonly T[]): T => list[dice(list.length)] as T;
  const small = (): number => dice(100);
  const value = (): Value =>
    pick<Value>(
      null,
      small(),
      -small() / 8,
      2n ** 62n + BigInt(small()),
      'text \u{1f600}',
      '',
      -0,
      new Uint8Array([1, 0, 255]),
    );
  const or = pick('', '', '', 'OR IGNORE', 'OR REPLACE', 'OR ROLLBACK', 'OR FAIL');
  const { sql, params = [] } = pick<() => { sql: string; params?: Value[] }>(
    () => ({ sql: `INSERT ${or} INTO a (n, v) VALUES (?, ?)`, params: [small(), value()] }),
    () => ({ sql: `INSERT ${or} INTO a VALUES (:id, :n, :id || :n)`, params: [small(), small()] }),
    () => ({ sql: 'INSERT INTO a (n, v) SELECT n + 1, v FROM a ORDER BY id LIMIT 3' }),
    () => ({ sql: 'INSERT INTO a (v) VALUES (?1), (?1) RETURNING *', params: [value()] }),
    () => ({
      sql: `INSERT ${or} INTO b VALUES ($id, @a, ?3)`,
      params: [String(dice(20)), small(), small() / 3],
    }),
    () => ({ sql: `INSERT INTO s VALUES (?, ?)`, params: [value(), 'x'] }),
    () => ({ sql: "INSERT INTO s SELECT column1, 'y' FROM (VALUES (1), ('x'))" }),
    () => ({
      sql: 'UPDATE a SET n = n + ? WHERE id % 5 = ?',
      params: [dice(3), dice(5)],
    }),
    () => ({ sql: 'UPDATE b SET r = r * 2 RETURNING id, r' }),
    () => ({ sql: 'DELETE FROM a WHERE n > ?', params: [small()] }),
    () => ({ sql: 'DELETE FROM l' }),
    () => ({ sql: 'SELECT * FROM a ORDER BY id' }),
    () => ({ sql: 'SELECT count(*), sum(n), max(id), typeof(max(v)) FROM a' }),
    () => ({ sql: 'SELECT b.*, a.n AS n FROM b JOIN a ON a.id = b.a ORDER BY b.id' }),
    () => ({
      sql: 'SELECT ?1 AS a, typeof(?1) AS b, ?2 AS c, ?1 || typeof(?2) AS d',
      params: [small() / 8, value()],
    }),
    () => ({ sql: 'SELECT last_insert_rowid() > -1, total_changes() >= 0' }),
    () => ({ sql: 'SELECT what FROM l UNION ALL SELECT id FROM nowhere' }),
    () => ({ sql: 'SELECT abs(-9223372036854775807 - 1)' }),
    () => ({
      sql: pick(
        'BEGIN',
        'BEGIN IMMEDIATE',
        'COMMIT',
        'COMMIT',
        'ROLLBACK',
        'SAVEPOINT p',
        'RELEASE p',
        'ROLLBACK TO p',
      ),
    }),
  )();
  return { sql, params };
}

function hintOf(sql: string): ExecuteHint {
  const { readonly, returnsRows, effect } = parse(sql);
  return { rowMode: 'array', readonly, returnsRows, effect };
}

/** What a connection says of a call; of an error its code, as far as a server tells it. */
async function saidOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    const { code, sqliteCode } = fromDriver(error) as { code: string; sqliteCode?: string };
    return (sqliteCode ?? code).replace('PRIMARYKEY', 'UNIQUE');
  }
}

/** As text that is the same for the same values. */
function shown(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => {
    if (typeof each === 'bigint') return `${String(each)}n`;
    if (Object.is(each, -0)) return '-0';
    const isResult = typeof each === 'object' && each !== null && 'lastInsertRowid' in each;
    return isResult ? Object.fromEntries(Object.entries(each).sort()) : each;
  });
}

describe.skipIf(SQLD === undefined)('a libSQL server', () => {
  test.for(WIRES)('answers random statements as a file does, over %s', async (wire) => {
    const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const server = await serverOf();
    const seed = Math.floor(Math.random() * 2 ** 32);
    console.log(`seed ${String(seed)}`);
    const random = new Random(seed);
    const dice = (sides: number): number => random.from(0, sides - 1);
    const ours = await connectionTo(libsql({ url: server.urlOf(wire) }));
    const file = await connectionTo(nodeSqlite({ filename: join(directory, 'app.db') }));
    const both = async (call: (connection: Connection) => Promise<unknown>): Promise<[unknown, unknown]> => [
      await saidOf(() => call(ours)),
      await saidOf(() => call(file)),
    ];
    for (const sql of SCHEMA) await both((connection) => connection.execute(sql, [], hintOf(sql)));
    for (let n = 0; n < (wire === 'ws' ? STATEMENTS : STATEMENTS / 10); n += 1) {
      const { sql, params } = statementOf(dice);
      const batch = dice(10) === 0 ? batchOf(dice) : undefined;
      const onError = dice(2) === 0 ? 'abort' : 'continue';
      const [said, expected] = await both(async (connection) => {
        if (batch === undefined) return await connection.execute(sql, params, hintOf(sql));
        const outcomes = (await connection.batch?.(batch, onError)) ?? [];
        // Only a batch in which a statement fails may run twice.
        const once = outcomes.every(({ status }) => status === 'done');
        return outcomes.map((outcome, at) => {
          if (outcome.status !== 'done') return outcome.status;
          return once ? outcome : comparable(outcome, batch[at]);
        });
      });
      const what = `${String(n)}: ${batch === undefined ? sql : `${onError} ${batch.map((each) => each.sql).join('; ')}`} ${shown(params)}`;
      expect(`${what} ${shown(said)}`).toBe(`${what} ${shown(expected)}`);
      expect(await ours.inTransaction(), what).toBe(await file.inTransaction());
    }
  });
});

/**
 * Without the rowid of a statement that inserts none: it is that of an older insert. Where a file ran the batch again,
 * that may be one of its first try, because a rollback does not change it:
 * https://www.sqlite.org/c3ref/last_insert_rowid.html
 */
function comparable(
  { result }: { readonly result: Result },
  statement: BatchedStatement | undefined,
): unknown {
  const insertsNone = result.changes === 0 || /INTO b\b/.test(statement?.sql ?? '');
  return insertsNone ? { ...result, lastInsertRowid: 0 } : result;
}

function batchOf(dice: (sides: number) => number): BatchedStatement[] {
  const batch: BatchedStatement[] = [];
  while (batch.length < 3) {
    const { sql, params } = statementOf(dice);
    if (parse(sql).control === 'none') batch.push({ sql, params, hint: hintOf(sql) });
  }
  return batch;
}
