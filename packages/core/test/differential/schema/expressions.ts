import type { Dice } from '../dice.ts';
import type { Param } from '../program.ts';
import { line, orWrong, small, type Kind } from './part.ts';

/** Index expressions and generated columns that fail. */
export const documents: Kind = (n, dice) => {
  const j = `j${n}`;
  const least = '-9223372036854775808';
  const index = dice.of([`json_extract(doc, '$.b')`, 'abs(n)', 'n', `json_extract(doc, '$.b'), abs(n)`]);
  const doc = (d: Dice): Param =>
    orWrong<Param>(
      d,
      `{"a":${String(d.below(6))},"b":${String(d.below(6))}}`,
      d.of(['no json', '{"a":5}', null]),
    );
  const number = (d: Dice): Param => orWrong<Param>(d, small(d), least);
  return {
    schema:
      `CREATE TABLE ${j} (id INTEGER PRIMARY KEY, doc${dice.of(['', ` CHECK (json_extract(doc, '$.a') IS NOT 5)`])}, ` +
      `g${dice.of([' AS (1)', ` AS (json_extract(doc, '$.a')) STORED`])}, n INTEGER, tag INTEGER); ` +
      `CREATE ${dice.of(['', 'UNIQUE '])}INDEX ${j}_i ON ${j} (${index}); ` +
      `INSERT INTO ${j} (doc, n, tag) VALUES ('{"a":1,"b":1}', 1, 0), ('[{"a":1}]', 2, 0), ('[7]', 3, 0);`,
    table: j,
    writes: [
      line(`INSERT INTO ${j} (doc, n, tag) VALUES (?, ?, ?)`, (d) => [doc(d), number(d), '#']),
      line(`INSERT INTO ${j} (doc, n, tag) VALUES (?, ?, ?), (?, ?, 0)`, (d) => [
        doc(d),
        small(d),
        '#',
        doc(d),
        number(d),
      ]),
      line(`UPDATE ${j} SET n = n - ?, tag = ? WHERE id >= ?`, (d) => [small(d), '#', small(d)]),
      line(`UPDATE ${j} SET n = -n, tag = ? WHERE id >= ?`, (d) => ['#', small(d)]),
      line(
        `UPDATE ${j} SET doc = (SELECT value FROM json_each(${j}.doc) ORDER BY key LIMIT 1), tag = ? WHERE id >= ?`,
        (d) => ['#', small(d)],
      ),
      line(`UPDATE ${j} SET doc = json_set(doc, '$.a', ?), tag = ? WHERE id >= ?`, (d) => [
        d.below(6),
        '#',
        small(d),
      ]),
      line(`INSERT INTO ${j} (n, tag) SELECT value, ? FROM json_each(?) ORDER BY key`, (d) => [
        '#',
        d.of(['[1,2]', '[3,-9223372036854775808]', '[4,', '[5,"x"]']),
      ]),
      line(`DELETE FROM ${j} WHERE abs(n) = ? AND tag <> ? RETURNING id`, (d) => [small(d), '#']),
    ],
    reads: [
      line(`SELECT id, doc, n, tag FROM ${j} WHERE tag <> ? ORDER BY id`, () => ['#']),
      line(`SELECT json_extract(doc, '$.a') AS a FROM ${j} WHERE tag <> ? ORDER BY id`, () => ['#']),
    ],
  };
};

/** Errors in the middle of rows: overflows, and values that are too big. */
export const sums: Kind = (n) => {
  const [from, to] = [`from${n}`, `to${n}`];
  const big = '9223372036854775807';
  return {
    schema:
      `CREATE TABLE ${from} (g INTEGER, n INTEGER, tag INTEGER); CREATE TABLE ${to} (n, tag INTEGER); ` +
      `INSERT INTO ${from} VALUES (1, 1, 0), (2, ${big}, 0), (2, 1, 0), (3, 4, 0);`,
    table: to,
    writes: [
      line(`INSERT INTO ${to} (n, tag) VALUES (?, ?)`, (d) => [small(d), '#']),
      line(`INSERT INTO ${to} (n, tag) SELECT sum(n), ? FROM ${from} GROUP BY g`, () => ['#']),
      line(`INSERT INTO ${from} (g, n, tag) VALUES (?, ?, ?)`, (d) => [
        d.below(4),
        orWrong<Param>(d, small(d), big),
        '#',
      ]),
      line(`INSERT INTO ${to} (n, tag) SELECT zeroblob(n), ? FROM ${from} ORDER BY g`, () => ['#']),
      line(`UPDATE ${to} SET n = (SELECT sum(n) FROM ${from} WHERE g <= ${to}.n), tag = ?`, () => ['#']),
      line(`DELETE FROM ${from} WHERE n > ? AND tag <> ?`, (d) => [small(d), '#']),
    ],
    reads: [line(`SELECT rowid, typeof(n), tag FROM ${to} WHERE tag <> ? ORDER BY rowid`, () => ['#'])],
  };
};

export const words: Kind = (n, dice) => {
  const [f, d0] = [`f${n}`, `d${n}`];
  const body = (d: Dice): Param => `${d.of(['one', 'two', 'one two'])} ${d.of(['three', 'four', ''])} n#`;
  const query = (d: Dice): Param =>
    orWrong<Param>(d, d.of(['one', 'two OR three', 'thr*']), d.of(['"', 'AND', 'nope:one']));
  const external = dice.oneIn(2);
  const index = external
    ? `CREATE TABLE ${d0} (id INTEGER PRIMARY KEY, body, tag INTEGER); ` +
      `CREATE VIRTUAL TABLE ${f} USING fts5(body, content='${d0}', content_rowid='id'); ` +
      `CREATE TRIGGER ${d0}_ai AFTER INSERT ON ${d0} BEGIN INSERT INTO ${f} (rowid, body) VALUES (new.id, new.body); END; ` +
      `CREATE TRIGGER ${d0}_ad AFTER DELETE ON ${d0} BEGIN INSERT INTO ${f} (${f}, rowid, body) VALUES ('delete', old.id, old.body); END; ` +
      `CREATE TRIGGER ${d0}_au AFTER UPDATE ON ${d0} BEGIN INSERT INTO ${f} (${f}, rowid, body) VALUES ('delete', old.id, old.body); ` +
      `INSERT INTO ${f} (rowid, body) VALUES (new.id, new.body); END; `
    : `CREATE VIRTUAL TABLE ${f} USING fts5(body, tag UNINDEXED); CREATE TABLE ${d0} (id INTEGER PRIMARY KEY, body, tag INTEGER); `;
  const t = external ? d0 : f;
  const id = external ? 'id' : 'rowid';
  return {
    schema: `${index} INSERT INTO ${t} (${id}, body, tag) VALUES (1, 'one two', 0), (2, 'three', 0);`,
    table: d0,
    writes: [
      line(`INSERT INTO ${t} (body, tag) VALUES (?, ?)`, (d) => [body(d), '#'], true),
      line(`INSERT INTO ${t} (${id}, body, tag) VALUES (?, ?, ?)`, (d) => [small(d), body(d), '#'], true),
      line(
        `INSERT INTO ${t} (${id}, body, tag) VALUES (?, ?, ?), (?, 'second', 0)`,
        (d) => [small(d), body(d), '#', small(d)],
        true,
      ),
      line(`UPDATE ${t} SET body = body || ' two', tag = ? WHERE ${id} >= ?`, (d) => ['#', small(d)]),
      line(
        `DELETE FROM ${t} WHERE ${id} IN (SELECT rowid FROM ${f} WHERE ${f} MATCH ?) AND tag <> ?`,
        (d) => [query(d), '#'],
      ),
      line(
        `INSERT INTO ${d0} (body, tag) SELECT 'copy', ? FROM ${f} WHERE ${f} MATCH ? ORDER BY rowid`,
        (d) => ['#', query(d)],
        true,
      ),
      line(
        `INSERT INTO ${t} (body, tag) SELECT value, ? FROM json_each(?) ORDER BY key`,
        (d) => ['#', d.of(['["one"]', '["two","three"]', '["one",'])],
        true,
      ),
    ],
    reads: [
      line(`SELECT ${id} AS id, body, tag FROM ${t} WHERE tag <> ? ORDER BY ${id}`, () => ['#']),
      line(`SELECT rowid, body FROM ${f} WHERE ${f} MATCH ? AND 'n' <> ? ORDER BY rowid`, (d) => [
        query(d),
        '#',
      ]),
    ],
  };
};
