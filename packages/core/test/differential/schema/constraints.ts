import type { Dice } from '../dice.ts';
import type { Param } from '../program.ts';
import { line, onConflict, or, orWrong, small, type Kind } from './part.ts';

export const strict: Kind = (n, dice, isPlain) => {
  const s = `s${n}`;
  const auto = dice.of(['', ' AUTOINCREMENT']);
  const notNull = dice.oneIn(3) ? ` NOT NULL ${onConflict(dice, isPlain)}` : '';
  const number = (d: Dice): Param => orWrong<Param>(d, small(d), d.of(['yesterday', null]));
  return {
    schema:
      `CREATE TABLE ${s} (id INTEGER PRIMARY KEY${auto}, a INTEGER${notNull}, b ANY, tag INTEGER) STRICT; ` +
      `INSERT INTO ${s} VALUES (1, 1, 1, 0), (2, 2, 2, 0), (3, 3, 'x', 0);`,
    table: s,
    writes: [
      line(`INSERT INTO ${s} (a, tag) VALUES (?, ?)`, (d) => [number(d), '#']),
      line(`INSERT INTO ${s} (a, b, tag) VALUES (?, ?, ?)`, (d) => [
        number(d),
        orWrong<Param>(d, 1, 'b'),
        '#',
      ]),
      line(`INSERT INTO ${s} (id, a, tag) VALUES (?, ?, ?)`, (d) => [small(d), number(d), '#']),
      line(`INSERT INTO ${s} (a, tag) VALUES (?, ?), (?, 0)`, (d) => [number(d), '#', number(d)]),
      line(`UPDATE ${s} SET a = b, tag = ? WHERE id >= ?`, (d) => ['#', small(d)]),
      line(`UPDATE ${s} SET a = ?, tag = ? WHERE id >= ?`, (d) => [number(d), '#', small(d)]),
      line(`INSERT INTO ${s} (a, tag) SELECT b, ? FROM ${s} WHERE id <= 3 ORDER BY id`, () => ['#']),
      line(`INSERT INTO ${s} (a, b, tag) VALUES (?, ?, ?) RETURNING id, a + 1 AS more`, (d) => [
        number(d),
        small(d),
        '#',
      ]),
      line(`DELETE FROM ${s} WHERE id = ? AND tag <> ?`, (d) => [small(d), '#']),
      line(`UPDATE ${s} SET a = abs(a - ?), tag = ? WHERE a IS NOT NULL RETURNING id, a`, (d) => [
        small(d),
        '#',
      ]),
    ],
    reads: [
      line(`SELECT id, a, b, tag FROM ${s} WHERE tag <> ? ORDER BY id`, () => ['#']),
      line(`SELECT count(*), total(a), max(id) FROM ${s} WHERE tag <> ?`, () => ['#']),
    ],
  };
};

export const unique: Kind = (n, dice, isPlain) => {
  const u = `u${n}`;
  const auto = dice.of(['', ' AUTOINCREMENT']);
  const more = dice.of([
    '',
    `CREATE UNIQUE INDEX ${u}_v ON ${u} (v) WHERE v > 5;`,
    `CREATE UNIQUE INDEX ${u}_v ON ${u} (v % 7);`,
  ]);
  const how = (): string => or(dice, isPlain);
  const upsert = dice.of([
    '(k) DO UPDATE SET v = v + excluded.v, tag = excluded.tag',
    '(k) DO NOTHING',
    'DO NOTHING',
    '(k) DO UPDATE SET k = k + 1 WHERE v > 2',
  ]);
  const v = (d: Dice): Param => orWrong<Param>(d, small(d), d.of([3, null]));
  return {
    schema:
      `CREATE TABLE ${u} (id INTEGER PRIMARY KEY${auto}, k INTEGER UNIQUE ${onConflict(dice, isPlain)}, ` +
      `v DEFAULT 0 CHECK (v <> 3)${dice.of(['', ` NOT NULL ${onConflict(dice, isPlain)}`])}, tag INTEGER); ${more} ` +
      `INSERT INTO ${u} VALUES (1, 1, 1, 0), (2, 2, 2, 0), (5, 4, 6, 0);`,
    table: u,
    writes: [
      line(`INSERT INTO ${u} (k, v, tag) VALUES (?, ?, ?)`, (d) => [d.below(20), v(d), '#']),
      line(`INSERT INTO ${u} (v, tag) VALUES (?, ?)`, (d) => [v(d), '#']),
      line(`INSERT INTO ${u} (id, k, tag) VALUES (?, ?, ?)`, (d) => [
        // A mismatch of types is no answer that shows that nothing was left: a group runs again, and `changes()` shows that.
        isPlain ? d.below(20) : orWrong<Param>(d, d.below(20), 'x'),
        d.below(20),
        '#',
      ]),
      line(`INSERT ${how()} INTO ${u} (k, v, tag) VALUES (?, ?, ?)`, (d) => [small(d), v(d), '#']),
      line(`INSERT ${how()} INTO ${u} (k, v, tag) VALUES (?, ?, ?), (?, ?, 0), (?, 1, 0)`, (d) => [
        small(d),
        v(d),
        '#',
        small(d),
        v(d),
        small(d),
      ]),
      line(`UPDATE ${how()} ${u} SET k = k + 1, tag = ? WHERE k >= ?`, (d) => ['#', small(d)]),
      line(`UPDATE ${u} SET v = ?, tag = ? WHERE k >= ?`, (d) => [v(d), '#', small(d)]),
      line(
        `INSERT INTO ${u} (k, v, tag) VALUES (?, ?, ?) ON CONFLICT ${upsert} RETURNING id, k, v`,
        (d) => [small(d), v(d), '#'],
        true,
      ),
      line(
        `INSERT INTO ${u} (k, v, tag) VALUES (?, ?, ?), (?, ?, 0) ON CONFLICT ${upsert}`,
        (d) => [small(d), v(d), '#', small(d), v(d)],
        true,
      ),
      line(`REPLACE INTO ${u} (id, k, tag) VALUES (?, ?, ?)`, (d) => [small(d), small(d), '#']),
      line(`DELETE FROM ${u} WHERE k = ? AND tag <> ? RETURNING id, v`, (d) => [small(d), '#']),
    ],
    reads: [
      line(`SELECT id, k, v, tag FROM ${u} WHERE tag <> ? ORDER BY id`, () => ['#']),
      line(`SELECT k FROM ${u} WHERE tag <> ? AND v >= ? ORDER BY k DESC`, (d) => ['#', small(d)]),
    ],
  };
};

export const keyed: Kind = (n, dice, isPlain) => {
  const w = `w${n}`;
  const key = (d: Dice): Param => d.of(['a', 'b', 'c', 'd', 'e']);
  return {
    schema:
      `CREATE TABLE ${w} (k TEXT ${dice.of(['', 'COLLATE NOCASE'])}, n INTEGER, doubled AS (n * 2) ${dice.of(['VIRTUAL', 'STORED'])} ` +
      `CHECK (doubled <> 14), tag INTEGER, PRIMARY KEY (k, n) ${onConflict(dice, isPlain)}) WITHOUT ROWID; ` +
      `INSERT INTO ${w} VALUES ('a', 1, 0), ('B', 2, 0);`,
    table: w,
    writes: [
      line(`INSERT INTO ${w} (k, n, tag) VALUES (?, ?, ?)`, (d) => [key(d), small(d), '#'], true),
      line(
        `INSERT ${or(dice, isPlain)} INTO ${w} (k, n, tag) VALUES (?, ?, ?), (?, ?, 0)`,
        (d) => [key(d), small(d), '#', key(d), small(d)],
        true,
      ),
      line(`UPDATE ${or(dice, isPlain)} ${w} SET n = n + 1, tag = ? WHERE n >= ?`, (d) => ['#', small(d)]),
      line(
        `INSERT INTO ${w} (k, n, tag) VALUES (upper(?), ?, ?) ON CONFLICT DO UPDATE SET n = n + 10 RETURNING k, n, doubled`,
        (d) => [key(d), small(d), '#'],
        true,
      ),
      line(`DELETE FROM ${w} WHERE k = ? AND tag <> ?`, (d) => [key(d), '#']),
    ],
    reads: [line(`SELECT k, n, doubled, tag FROM ${w} WHERE tag <> ? ORDER BY k, n`, () => ['#'])],
  };
};

/** What a statement counts, and the one before it: defined only on one connection. */
export const counted: Kind = (n) => {
  const c = `n${n}`;
  return {
    schema:
      `CREATE TABLE ${c} (id INTEGER PRIMARY KEY, rowid_before INTEGER DEFAULT (last_insert_rowid()), changes_before INTEGER DEFAULT (changes()), tag INTEGER); ` +
      `INSERT INTO ${c} VALUES (50, 0, 0, 0);`,
    table: c,
    writes: [
      line(`INSERT INTO ${c} (id, tag) VALUES (?, ?)`, (d) => [orWrong(d, d.below(40), 50), '#']),
      line(`INSERT INTO ${c} (tag) VALUES (?)`, () => ['#']),
      line(`INSERT INTO ${c} (id, tag) VALUES (?, ?), (?, 0)`, (d) => [
        d.below(40),
        '#',
        orWrong(d, d.below(40), 50),
      ]),
      line(
        `UPDATE ${c} SET changes_before = changes(), rowid_before = last_insert_rowid(), tag = ? WHERE id >= ?`,
        (d) => ['#', d.below(60)],
      ),
      line(`DELETE FROM ${c} WHERE id > ? AND tag <> ? RETURNING id, changes() AS before`, (d) => [
        d.below(60),
        '#',
      ]),
      line(`INSERT INTO ${c} (id, tag) VALUES (?, ?) RETURNING *`, (d) => [d.below(40), '#']),
    ],
    reads: [line(`SELECT changes(), last_insert_rowid() WHERE 0 <> ?`, () => ['#'])],
  };
};
