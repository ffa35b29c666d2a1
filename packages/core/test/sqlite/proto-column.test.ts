import sqliteModule from 'sqlite3';
import { expect, test, vi } from 'vitest';
import { poolOf, poolWithTable, temporaryFile } from './helpers.ts';

const BYTES = Buffer.from('bytes');

/** As a row that a caller would have written down. */
function row(...entries: [string, unknown][]): unknown {
  return Object.fromEntries(entries);
}

test.for(['text', 1, null, BYTES].map((value) => ({ value })))(
  'F89 a column called __proto__ is a property of the row, whatever its value: $value',
  async ({ value }) => {
    const pool = await poolWithTable({ poolSize: 1 });
    await pool.script('CREATE TABLE p ("a" INTEGER, "__proto__", "2")');
    await pool.run('INSERT INTO p VALUES (1, ?, 3)', [value]);
    const expected = row(['a', 1], ['__proto__', value], ['2', 3]);
    const stepped: unknown[] = [];
    for await (const one of pool.iterate('SELECT * FROM p WHERE a = ?', [1])) stepped.push(one);
    const rows = [
      await pool.get('SELECT * FROM p'),
      await pool.get('SELECT a, __proto__, "2" FROM p WHERE a = :a', { a: 1 }),
      await pool.get('WITH q AS (SELECT * FROM p) SELECT * FROM q'),
      ...stepped,
    ];
    expect(rows).toHaveLength(4);
    for (const one of rows) {
      expect(Object.getOwnPropertyNames(one).sort()).toEqual(['2', '__proto__', 'a']);
      expect(Object.entries(one as object).sort()).toEqual(Object.entries(expected as object).sort());
      expect(Object.getPrototypeOf(one)).toBe(Object.prototype);
    }
    expect(await pool.execute('SELECT * FROM p', [], { rowMode: 'array' })).toMatchObject({
      columns: ['a', '__proto__', '2'],
      rows: [[1, value, 3]],
    });
    expect(Object.keys({})).toEqual([]);
    expect(({} as Record<string, unknown>)['length']).toBeUndefined();
  },
);

test('F89 of several columns called __proto__ the last is the property, as with any other name', async () => {
  const pool = await poolWithTable();
  const one = await pool.get('SELECT 1 AS "__proto__", 2 AS b, 3 AS "__proto__", 4 AS b');
  expect(Object.entries(one ?? {})).toEqual([
    ['__proto__', 3],
    ['b', 4],
  ]);
});

test('F89 as long as no such column is known, a query is prepared as it is and not asked for its columns', async () => {
  const prepared = vi.spyOn(sqliteModule.Database.prototype, 'prepare');
  const pool = await poolWithTable({ poolSize: 1 });
  prepared.mockClear();
  await pool.get('SELECT * FROM t');
  for await (const row of pool.iterate('SELECT * FROM t')) expect(row).toBeUndefined();
  expect(prepared.mock.calls.map(([sql]) => sql)).toEqual(['SELECT * FROM t LIMIT 1', 'SELECT * FROM t']);
});

test('F89 a query that names __proto__ and returns no such column is answered as ever, with rows or without', async () => {
  const pool = await poolWithTable();
  await pool.run("INSERT INTO t (v) VALUES ('__proto__')");
  expect(await pool.all("SELECT v FROM t WHERE v = '__proto__'")).toEqual([{ v: '__proto__' }]);
  expect(await pool.all("PRAGMA table_info('__proto__')")).toEqual([]);
  expect(await pool.execute('SELECT v, 1 AS "__proto__" FROM t WHERE 0')).toMatchObject({ rows: [] });
});

test('F89 no value that a RETURNING gives for such a column becomes the prototype of its row', async () => {
  const pool = await poolWithTable();
  for (const value of [null, BYTES]) {
    const [one] = await pool.all('INSERT INTO t (v) VALUES (?) RETURNING 1 AS a, v AS "__proto__"', [value]);
    expect(Object.getPrototypeOf(one)).toBe(Object.prototype);
    expect(Object.entries(one ?? {})).toEqual([
      ['a', 1],
      ['__proto__', value],
    ]);
  }
});

test('F89 a column that another pool has made is known to a pool that opens the file later', async () => {
  const filename = await temporaryFile();
  await poolOf({ filename }).script('CREATE TABLE p ("__proto__"); INSERT INTO p VALUES (\'text\')');
  const one = await poolOf({ filename }).get('SELECT * FROM p');
  expect(Object.entries(one ?? {})).toEqual([['__proto__', 'text']]);
});
