import { expect, test } from 'vitest';
import { rowInsertOf } from '../src/row-insert.ts';
import { parse } from '../src/sql.ts';

const ROWID =
  'CASE WHEN _rowid_ BETWEEN -9007199254740991 AND 9007199254740991 THEN _rowid_ ELSE CAST(_rowid_ AS TEXT) END';

test.for<[text: string, table: string, two: string]>([
  ['INSERT INTO t VALUES (?)', 't', 'INSERT INTO t VALUES (?), (?)'],
  ['insert into t(a,b) values(?,?)', 't', 'insert into t(a,b) values (?, ?), (?, ?)'],
  ['INSERT INTO "a b" ("c d") VALUES (?);', 'a b', 'INSERT INTO "a b" ("c d") VALUES (?), (?)'],
  ['INSERT INTO [a b]([c d]) VALUES (?)', 'a b', 'INSERT INTO [a b]([c d]) VALUES (?), (?)'],
  ['INSERT INTO `t` (`c`) VALUES (?)', 't', 'INSERT INTO `t` (`c`) VALUES (?), (?)'],
  ['INSERT INTO \u00a0t VALUES (?)', '\u00a0t', 'INSERT INTO \u00a0t VALUES (?), (?)'],
  ['INSERT INTO größe VALUES (?)', 'größe', 'INSERT INTO größe VALUES (?), (?)'],
  ['\n INSERT\nINTO t\n(a)\nVALUES\n( ? )\n', 't', 'INSERT\nINTO t\n(a)\nVALUES (?), (?)'],
  ['INSERT INTO t VALUES (:a, @b, $c)', 't', 'INSERT INTO t VALUES (?, ?, ?), (?, ?, ?)'],
  [
    "INSERT INTO t VALUES (?, 'a:b', -1, 2.5, NULL, TRUE)",
    't',
    "INSERT INTO t VALUES (?, 'a:b', -1, 2.5, NULL, TRUE), (?, 'a:b', -1, 2.5, NULL, TRUE)",
  ],
  ['INSERT INTO t VALUES (1)', 't', 'INSERT INTO t VALUES (1), (1)'],
])('%s inserts one row', ([sql, table, two]) => {
  const insert = parse(sql).rowInsert;
  expect(insert).toMatchObject({ table });
  expect(insert?.textFor(2)).toBe(`${two} RETURNING ${ROWID} AS id`);
});

test.for([
  'INSERT INTO t VALUES (?), (?)',
  'INSERT INTO t VALUES (?) RETURNING id',
  'INSERT INTO t VALUES (?) ON CONFLICT DO NOTHING',
  'INSERT OR IGNORE INTO t VALUES (?)',
  'REPLACE INTO t VALUES (?)',
  'INSERT INTO main.t VALUES (?)',
  'INSERT INTO t AS u VALUES (?)',
  'INSERT INTO t SELECT ?',
  'INSERT INTO t DEFAULT VALUES',
  'INSERT INTO t VALUES (random())',
  "INSERT INTO t VALUES (datetime('now'))",
  'INSERT INTO t VALUES ((SELECT max(a) FROM t))',
  'INSERT INTO t VALUES (? + 1)',
  'INSERT INTO t VALUES (a)',
  'INSERT INTO t VALUES ("a")',
  "INSERT INTO t VALUES (x'00')",
  // Its numbers would be those of the first row in every row.
  'INSERT INTO t VALUES (?1)',
  'INSERT INTO t VALUES (:a, :a)',
  // To SQLite these are no space but a name, or an error.
  'INSERT INTO t VALUES (?,\u00a0?)',
  'INSERT INTO t VALUES (?,\v?)',
  'INSERT INTO t /* a comment */ VALUES (?)',
  'WITH a AS (SELECT 1) INSERT INTO t VALUES (?)',
  'UPDATE t SET a = ?',
  'SELECT 1',
  `INSERT INTO t VALUES (${Array(1000).fill('?').join(', ')})`,
])('%s is not read as an insert of one row that can be run with others', (sql) => {
  expect(parse(sql).rowInsert).toBeUndefined();
});

test('a text is made once for each number of rows, and read in linear time', () => {
  const insert = rowInsertOf('INSERT INTO t VALUES (?)', 1);
  expect(insert?.textFor(3)).toBe(`INSERT INTO t VALUES (?), (?), (?) RETURNING ${ROWID} AS id`);
  expect(insert?.textFor(3)).toBe(insert?.textFor(3));
  const began = performance.now();
  for (const odd of ['"', '(', '(a,', ' ', '?,', "'", '(?, ', '[', '1']) {
    expect(rowInsertOf(`INSERT INTO t ${odd.repeat(1980 / odd.length)}`, 0)).toBeUndefined();
    expect(rowInsertOf(`INSERT INTO t VALUES (${odd.repeat(1950 / odd.length)}`, 0)).toBeUndefined();
  }
  expect(performance.now() - began).toBeLessThan(200);
});
