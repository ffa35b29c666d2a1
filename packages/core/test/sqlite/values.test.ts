import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENDLESS, onSqlite3, poolOf, poolWithTable } from './helpers.ts';

// A Buffer is a Uint8Array.
expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    one instanceof Uint8Array && other instanceof Uint8Array ? Buffer.compare(one, other) === 0 : undefined,
]);

const BEYOND = 2n ** 53n + 1n;

test.for([null, 0, -1, 2 ** 31, 2 ** 53 - 1, 0.1, -1e300, Infinity, '', 'é😀', 'a\0b', "it's"])(
  'the value %j comes back as it went in',
  async (value) => {
    const pool = poolOf({ filename: ':memory:' });
    expect(await pool.get('SELECT ? AS v', [value])).toEqual({ v: value });
  },
);

test.for([[], [0], [0, 255, 1]])(
  'the bytes %j come back as a blob, also when there are none',
  async (bytes) => {
    const pool = poolOf({ filename: ':memory:' });
    const row = await pool.get(
      'SELECT ? AS v, typeof(?) AS type, length(?) AS n',
      Array(3).fill(Uint8Array.from(bytes)),
    );
    // One driver reads them as a Buffer, the other as a plain Uint8Array.
    expect({ ...row, v: Uint8Array.from(row?.['v'] as Uint8Array) }).toEqual({
      v: Uint8Array.from(bytes),
      type: 'blob',
      n: bytes.length,
    });
  },
);

test('a view on a part of a buffer binds that part', async () => {
  const pool = poolOf({ filename: ':memory:' });
  const view = Uint8Array.from([1, 2, 3, 4]).subarray(1, 3);
  expect(await pool.get('SELECT hex(?) AS v', [view])).toEqual({ v: '0203' });
});

test.runIf(onSqlite3)(
  'F61 an integer beyond 2^53 is refused where it would be rounded or bound as NULL',
  async () => {
    const pool = await poolWithTable();
    for (const value of [BEYOND, -BEYOND]) {
      await expect(pool.run('INSERT INTO t (v) VALUES (?)', [value])).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    }
    await pool.run('INSERT INTO t (v) VALUES (CAST(? AS INTEGER))', [String(BEYOND)]);
    expect(await pool.get('SELECT CAST(v AS TEXT) AS v, typeof(v) AS type FROM t')).toEqual({
      v: String(BEYOND),
      type: 'integer',
    });
  },
);

test.skipIf(onSqlite3)(
  'F61 an integer of up to 64 bits comes back as it went in, and a larger one is refused',
  async () => {
    const pool = await poolWithTable();
    for (const value of [BEYOND, -BEYOND, 2n ** 63n - 1n, -(2n ** 63n)]) {
      await pool.run('INSERT OR REPLACE INTO t (id, v) VALUES (1, ?)', [value]);
      expect(await pool.get('SELECT v, typeof(v) AS type FROM t')).toEqual({ v: value, type: 'integer' });
    }
    await expect(pool.get('SELECT ?', [2n ** 63n])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  },
);

test('F61 an integer of more than 32 bits is stored exactly in an INTEGER column', async () => {
  const pool = poolOf({ filename: ':memory:' });
  await pool.script('CREATE TABLE n (v INTEGER)');
  for (const value of [2 ** 40, 2n ** 40n, 2n ** 53n - 1n])
    await pool.run('INSERT INTO n VALUES (?)', [value]);
  expect(await pool.all('SELECT v, typeof(v) AS type FROM n')).toEqual([
    { v: 2 ** 40, type: 'integer' },
    { v: 2 ** 40, type: 'integer' },
    { v: 2 ** 53 - 1, type: 'integer' },
  ]);
});

test('a rowid beyond 2^53 is reported exactly, as a bigint', async () => {
  const pool = await poolWithTable();
  const largest = 2n ** 63n - 1n;
  const insert = (id: bigint): string => `INSERT INTO t (id) VALUES (${String(id)})`;
  expect(await pool.run(insert(largest - 1n))).toEqual({ changes: 1, lastInsertRowid: largest - 1n });
  expect(await pool.run(`${insert(largest)} RETURNING v`)).toEqual({ changes: 1, lastInsertRowid: largest });
  expect(await pool.run(insert(5n))).toEqual({ changes: 1, lastInsertRowid: 5 });
});

test('counts are those of the statement, never left over from an earlier one', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const run = async (sql: string): Promise<unknown> => await pool.run(sql);
  expect(await run('INSERT INTO t VALUES (7, 1)')).toEqual({ changes: 1, lastInsertRowid: 7 });
  expect(await run('INSERT INTO t VALUES (7, 1) ON CONFLICT DO NOTHING')).toEqual({
    changes: 0,
    lastInsertRowid: 0,
  });
  expect(await run('INSERT INTO t VALUES (7, 1) ON CONFLICT DO NOTHING RETURNING v')).toEqual({
    changes: 0,
    lastInsertRowid: 0,
  });
  expect(await run('UPDATE t SET v = 2')).toEqual({ changes: 1, lastInsertRowid: 0 });
  expect(await run('UPDATE t SET v = 2 RETURNING v')).toEqual({ changes: 1, lastInsertRowid: 0 });
  expect(await run('CREATE TABLE u (x)')).toEqual({ changes: 0, lastInsertRowid: 0 });
  expect(await run('SELECT * FROM t')).toEqual({ changes: 0, lastInsertRowid: 0 });
});

const value = fc.oneof(
  fc.constant(null),
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.string({ unit: 'grapheme' }),
  fc.uint8Array({ maxLength: 100 }).map((bytes) => (onSqlite3 ? Buffer.from(bytes) : bytes)),
);

/** node:sqlite keeps the sign of zero, and sqlite3 loses it. */
function oneZero(value: unknown): unknown {
  return Object.is(value, -0) ? 0 : value;
}

test('F61 whatever can be bound comes back as it was, from a table and in every row mode', async () => {
  const pool = await poolWithTable();
  await fc.assert(
    fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 10 }), async (values) => {
      const expected = values.map(oneZero);
      const marks = values.map((_, at) => `? AS v${String(at)}`).join(', ');
      const { rows }: { rows: readonly unknown[][] } = await pool.execute(`SELECT ${marks}`, values, {
        rowMode: 'array',
      });
      expect(rows.map((row) => row.map(oneZero))).toEqual([expected]);
      await pool.run('INSERT OR REPLACE INTO t VALUES (1, ?)', [values[0]!]);
      const row = await pool.get('SELECT v FROM t');
      expect({ v: oneZero(row?.['v']) }).toEqual({ v: expected[0] });
    }),
    { numRuns: 300 },
  );
});

interface Arrays {
  readonly sql: string;
  readonly params?: readonly (string | number)[];
  readonly columns: readonly string[];
  readonly rows: readonly unknown[][];
}

test.for<Arrays>([
  { sql: 'SELECT 1 AS id, 2 AS id, 3 AS "ID"', columns: ['id', 'id', 'ID'], rows: [[1, 2, 3]] },
  { sql: 'SELECT 1 AS b, 2 AS "1", 3 AS "0"', columns: ['b', '1', '0'], rows: [[1, 2, 3]] },
  { sql: 'SELECT 1 AS b, 2 AS "1", 3 AS b WHERE 0', columns: ['b', '1', 'b'], rows: [] },
  { sql: 'SELECT ? AS x, 2 AS y LIMIT ?', params: ['p', 1], columns: ['x', 'y'], rows: [['p', 2]] },
  { sql: 'SELECT ? AS x, 2 AS y LIMIT ?', params: ['p', 0], columns: ['x', 'y'], rows: [] },
  {
    sql: 'VALUES (1, 2), (3, 4) -- end',
    columns: ['column1', 'column2'],
    rows: [
      [1, 2],
      [3, 4],
    ],
  },
  {
    sql: 'WITH a(n) AS (VALUES (1), (3), (2)) SELECT n, n FROM a ORDER BY n DESC',
    columns: ['n', 'n'],
    rows: [
      [3, 3],
      [2, 2],
      [1, 1],
    ],
  },
  { sql: 'SELECT count(*) FROM t', columns: ['count(*)'], rows: [[0]] },
  { sql: 'SELECT * FROM t AS a JOIN t AS b', columns: ['id', 'v', 'id', 'v'], rows: [] },
  { sql: "INSERT INTO t (v) VALUES ('x') RETURNING id, v", columns: ['id', 'v'], rows: [[1, 'x']] },
])('row mode array of $sql has every column in its place', async ({ sql, params, columns, rows }) => {
  const pool = await poolWithTable();
  const result = await pool.execute(sql, params, { rowMode: 'array' });
  expect(result.columns).toEqual(columns);
  expect(result.rows).toEqual(rows);
});

test('row mode array does not run a query again for the names of its columns', async () => {
  const pool = poolOf({ filename: ':memory:' });
  const slow = `${ENDLESS.replace('5000000000', '100000').replace('AS c', 'AS "1", 2 AS a')} GROUP BY i % 2`;
  const fastest = { object: Infinity, array: Infinity };
  // Of the processor, on all threads: other tests may keep it from this one.
  for (let n = 0; n < 5; n += 1)
    for (const rowMode of ['object', 'array'] as const) {
      const since = process.cpuUsage();
      await pool.execute(slow, [], { rowMode } as { rowMode: 'array' });
      const { user, system } = process.cpuUsage(since);
      fastest[rowMode] = Math.min(fastest[rowMode], user + system);
    }
  expect(fastest.array).toBeLessThan(2 * fastest.object);
  const { columns } = await pool.execute(slow, [], { rowMode: 'array' });
  expect(columns).toEqual(['1', 'a']);
});
