import { expect, test, vi } from 'vitest';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { ENDLESS, failure, poolOf, temporaryFile, valuesOf } from './helpers.ts';
import { recording } from './recording.ts';
import { count, group, inserts, TABLES } from './together.ts';

test('writes that wait for the write lock together share one COMMIT, in the order in which they came', async () => {
  const { pool, together } = await group();
  const { ends, texts } = await together(
    inserts(
      pool,
      Array.from({ length: 50 }, (_, n) => n),
    ),
  );
  expect(ends.every(({ status }) => status === 'fulfilled')).toBe(true);
  expect(await valuesOf(pool)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  expect([count(texts, 'BEGIN IMMEDIATE'), count(texts, 'COMMIT')]).toEqual([1, 1]);
  expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, writersWaiting: 0 });
});

test('a write that does not have to wait is one native call, with groupCommit: false every write is', async () => {
  const { driver, texts } = recording({ filename: await temporaryFile() });
  const pool = poolOf({ driver });
  await pool.script(TABLES);
  const from = texts.length;
  for (const write of inserts(pool, [1, 2, 3])) await write();
  expect(texts.slice(from)).toEqual(Array.from({ length: 3 }, () => 'INSERT INTO t (v) VALUES (?)'));
  const alone = await group(TABLES, { groupCommit: false });
  const { texts: given } = await alone.together(inserts(alone.pool, [1, 2, 3]));
  expect(given).toEqual(Array.from({ length: 3 }, () => 'INSERT INTO t (v) VALUES (?)'));
});

test('64 writers at once need far fewer COMMITs than they write', async () => {
  const { driver, texts } = recording({ filename: await temporaryFile() });
  const pool = poolOf({ driver });
  await pool.script(TABLES);
  const writer = async (_: unknown, at: number): Promise<void> => {
    for (let n = 0; n < 20; n += 1) await pool.run('INSERT INTO t (v) VALUES (?)', [at * 1000 + n]);
  };
  await Promise.all(Array.from({ length: 64 }, writer));
  expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1280 });
  expect(count(texts, 'COMMIT')).toBeLessThan(320);
  expect(count(texts, 'COMMIT')).toBeGreaterThan(0);
});

test('each write has its own changes, rowid and rows', async () => {
  const { pool, together } = await group();
  const { ends, texts } = await together([
    () => pool.run("INSERT INTO t (v) VALUES ('a')"),
    () => pool.all("INSERT INTO t (v) VALUES ('b') RETURNING id, v"),
    () => pool.execute("INSERT INTO t (v) VALUES ('c'), ('d') RETURNING v", [], { rowMode: 'array' }),
    () => pool.run("UPDATE t SET v = v || '!' WHERE id < 3"),
    () => pool.get("DELETE FROM t WHERE v = 'd' RETURNING id"),
    () => pool.run('DELETE FROM t WHERE id = 99'),
  ]);
  expect(ends.map((end) => end.status === 'fulfilled' && end.value)).toEqual([
    { changes: 1, lastInsertRowid: 1 },
    [{ id: 2, v: 'b' }],
    { rows: [['c'], ['d']], columns: ['v'], changes: 2, lastInsertRowid: 4 },
    { changes: 2, lastInsertRowid: 0 },
    { id: 4 },
    { changes: 0, lastInsertRowid: 0 },
  ]);
  expect(count(texts, 'COMMIT')).toBe(1);
  expect(await valuesOf(pool)).toEqual(['a!', 'b!', 'c']);
});

test('a write that fails does so alone, with an error that names its caller, and takes nothing of the others with it', async () => {
  const { pool, together } = await group();
  const callerOfTheFailing = () => pool.run('INSERT INTO t (id, v) VALUES (1, 1)');
  const { ends, texts } = await together([
    ...inserts(pool, ['a']),
    () => callerOfTheFailing(),
    ...inserts(pool, ['b']),
  ]);
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  const errors = ends.map((end) => (end.status === 'rejected' ? (end.reason as Error) : undefined));
  expect(errors[1]).toMatchObject({ sqliteCode: 'SQLITE_CONSTRAINT_PRIMARYKEY', cause: { errno: 1555 } });
  expect(errors[1]?.stack).toContain('SqlitePool.run');
  expect(await valuesOf(pool)).toEqual(['a', 'b']);
  expect(count(texts, 'COMMIT')).toBe(1);
});

test('after an error that may have left something behind, each write runs alone, and none runs twice', async () => {
  const { pool, together } = await group();
  const { ends, texts } = await together([
    ...inserts(pool, ['a']),
    () => pool.run('INSERT INTO missing VALUES (1)'),
    ...inserts(pool, ['b']),
  ]);
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(ends[1]).toMatchObject({ reason: { sqliteCode: 'SQLITE_ERROR' } });
  expect(await valuesOf(pool)).toEqual(['a', 'b']);
  expect(count(texts, 'COMMIT')).toBe(0);
});

test.for([
  {
    what: 'ON CONFLICT ROLLBACK',
    sql: 'INSERT OR ROLLBACK INTO t (id) VALUES (1)',
    code: /PRIMARYKEY|UNIQUE/,
  },
  { what: 'RAISE(ROLLBACK)', sql: "INSERT INTO guarded VALUES ('no')", code: /TRIGGER/ },
])(
  'F22 a write that rolls the transaction back ($what) fails alone: the others are run again',
  async ({ sql, code }) => {
    const { pool, together } = await group();
    const { ends, texts } = await together([
      ...inserts(pool, ['a', 'b', 'a']),
      () => pool.run(sql),
      ...inserts(pool, ['c', 'b']),
    ]);
    const outcomes = ends.map((end) => (end.status === 'fulfilled' ? 'ok' : String(end.reason)));
    expect(outcomes).toEqual([
      'ok',
      'ok',
      expect.stringMatching(/UNIQUE/),
      expect.stringMatching(code),
      'ok',
      expect.stringMatching(/UNIQUE/),
    ]);
    expect(await valuesOf(pool)).toEqual(['a', 'b', 'c']);
    // Alone, each commits by itself.
    expect(count(texts, 'COMMIT')).toBe(0);
    expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false });
  },
);

test('a foreign key that is checked at once fails the one that breaks it', async () => {
  const { pool, together } = await group();
  const { ends } = await together([
    () => pool.run('INSERT INTO strict_child VALUES (1)'),
    () => pool.run('INSERT INTO parent VALUES (1)'),
    () => pool.run('INSERT INTO strict_child VALUES (1)'),
  ]);
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
});

test('F32 a foreign key that is checked at the COMMIT is not mended by another write', async () => {
  const deferred = 'CREATE TABLE later (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED);';
  const { pool, together } = await group(TABLES);
  const write = () =>
    together([
      () => pool.run('INSERT INTO later VALUES (1)'),
      () => pool.run('INSERT INTO parent VALUES (1)'),
      () => pool.run('INSERT INTO later VALUES (1)'),
    ]);
  // Known not to be there, until the script is done.
  await together(inserts(pool, ['a', 'b']));
  await pool.script(deferred);
  const { ends, texts } = await write();
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
  expect(ends[0]).toMatchObject({ reason: { sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY' } });
  expect(count(texts, 'COMMIT')).toBe(0);
});

test('F32 a COMMIT that fails because of a constraint is no reason for the others to fail', async () => {
  const { pool, together } = await group();
  // Another process may do this a moment after the schema was looked at.
  await together(inserts(pool, ['a', 'b']));
  const other = await pool.acquire();
  await other.run('CREATE TABLE later (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)');
  await other.release();
  const { ends, texts } = await together([
    () => pool.run('INSERT INTO parent VALUES (7)'),
    () => pool.run('INSERT INTO later VALUES (1)'),
    () => pool.run('INSERT INTO later VALUES (7)'),
  ]);
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(ends[1]).toMatchObject({ reason: { sqliteCode: 'SQLITE_CONSTRAINT_FOREIGNKEY' } });
  expect(count(texts, 'COMMIT')).toBeLessThanOrEqual(1);
  expect(await pool.get('SELECT count(*) AS n FROM later')).toEqual({ n: 1 });
});

test('F57 a full database fails those that do not fit, and keeps those that do', async () => {
  const pool = poolOf({ filename: await temporaryFile(), pragmas: { max_page_count: 100 }, poolSize: 3 });
  await pool.script(TABLES);
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  const writes = ['a', 'x'.repeat(3_000_000), 'b'].map((v) => pool.run('INSERT INTO t (v) VALUES (?)', [v]));
  await lease.run('ROLLBACK');
  await lease.release();
  const ends = await Promise.allSettled(writes);
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(ends[1]).toMatchObject({ reason: { sqliteCode: 'SQLITE_FULL' } });
  expect(await valuesOf(pool)).toEqual(['a', 'b']);
});

test('F40 a write that is cancelled while it runs is certainly not done, and the others are', async () => {
  const clock = fakeClock();
  const { pool, together, texts: given } = await group(TABLES, { clock });
  const endless =
    'INSERT INTO t (v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n';
  const done = together([
    ...inserts(pool, ['a']),
    () => pool.run(endless, [], { timeoutMs: 300 }),
    ...inserts(pool, ['b']),
  ]);
  const state = { isOver: false };
  void done.then(() => (state.isOver = true));
  await vi.waitUntil(() => given.includes(endless), { timeout: 10_000, interval: 1 });
  await clock.advance(300);
  // The pool waits 50 ms for the interrupted call to return. On this clock that is long enough on a busy machine, too; an interrupt
  // that comes before the first step is forgotten, and repeated.
  for (let again = 0; again < 4 && !state.isOver; again += 1) {
    await vi.waitUntil(() => state.isOver, { timeout: 1000, interval: 1 }).catch(() => clock.advance(10));
  }
  const { ends } = await done;
  expect(ends.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(ends[1]).toMatchObject({ reason: { code: 'STATEMENT_TIMEOUT' } });
  expect(await valuesOf(pool)).toEqual(['a', 'b']);
});

test('a statement that takes long keeps nobody waiting: the others do without it, and it is done alone', async () => {
  const clock = fakeClock();
  const long = "INSERT INTO t (v) VALUES ('long')";
  let runs = 0;
  // In the group it takes for ever, so nothing depends on how fast the machine is.
  const endlessAtFirst = (sql: string): string =>
    sql === long && (runs += 1) === 1 ? `INSERT INTO t (v) ${ENDLESS}` : sql;
  const { pool, together, texts: given } = await group(TABLES, { clock }, endlessAtFirst);
  const order: string[] = [];
  const note = (name: string, write: Promise<unknown>) => write.then(() => order.push(name));
  const done = together([
    () => note('first', pool.run("INSERT INTO t (v) VALUES ('first')")),
    () => note('long', pool.run(long)),
    () => note('last', pool.run("INSERT INTO t (v) VALUES ('last')")),
  ]);
  await vi.waitUntil(() => given.includes(long), { timeout: 10_000, interval: 1 });
  await clock.advance(1000);
  // An interrupt that comes before the first step is forgotten, and repeated.
  while (count(given, long) === 1) await clock.advance(10);
  const { texts } = await done;
  expect(order).toEqual(['first', 'long', 'last']);
  expect(await valuesOf(pool)).toEqual(['first', 'long', 'last']);
  expect(count(texts, long)).toBe(2);
});

test('a transaction that came in between is served in between', async () => {
  const { pool, together } = await group();
  const { texts } = await together([
    ...inserts(pool, ['a', 'b']),
    () => pool.transaction((tx) => tx.run("INSERT INTO t (v) VALUES ('tx')")),
    ...inserts(pool, ['c', 'd']),
  ]);
  expect(await valuesOf(pool)).toEqual(['a', 'b', 'tx', 'c', 'd']);
  const kinds = texts
    .map((sql) => /^(?:INSERT|BEGIN|COMMIT)/.exec(sql)?.[0])
    .filter((kind) => kind !== undefined);
  const pair = ['BEGIN', 'INSERT', 'INSERT', 'COMMIT'];
  expect(kinds).toEqual([...pair, 'BEGIN', 'INSERT', 'COMMIT', ...pair]);
});

test('what changes the schema or the connection is never part of a group', async () => {
  const { pool, together } = await group();
  const { texts } = await together([
    () => pool.run('CREATE TABLE u (x)'),
    () => pool.run('PRAGMA user_version = 7'),
    () => pool.run('VACUUM'),
    () => pool.script('INSERT INTO u VALUES (1)'),
  ]);
  expect(texts.some((sql) => sql === 'BEGIN IMMEDIATE')).toBe(false);
  expect(await failure(pool.run('BEGIN'))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});
