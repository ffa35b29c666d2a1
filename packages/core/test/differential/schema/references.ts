import type { Dice } from '../dice.ts';
import type { Param } from '../program.ts';
import { line, onConflict, or, orWrong, small, type Kind } from './part.ts';

export const family: Kind = (n, dice, isPlain) => {
  const [p, c] = [`p${n}`, `c${n}`];
  const action = dice.of([
    '',
    'ON DELETE CASCADE',
    'ON DELETE SET NULL',
    'ON DELETE RESTRICT',
    'ON UPDATE CASCADE ON DELETE SET DEFAULT',
  ]);
  const deferred = !isPlain && dice.oneIn(4) ? 'DEFERRABLE INITIALLY DEFERRED' : '';
  const how = (): string => or(dice, isPlain);
  return {
    schema:
      `CREATE TABLE ${p} (id INTEGER PRIMARY KEY, x, tag INTEGER); ` +
      `CREATE TABLE ${c} (id INTEGER PRIMARY KEY, p INTEGER DEFAULT 1 REFERENCES ${p} ${action} ${deferred}, tag INTEGER); ` +
      `INSERT INTO ${p} VALUES (1, 'one', 0), (2, 'two', 0); INSERT INTO ${c} VALUES (1, 1, 0), (2, 1, 0);`,
    table: c,
    writes: [
      line(`INSERT INTO ${c} (p, tag) VALUES (?, ?)`, (d) => [d.below(4), '#']),
      line(`INSERT INTO ${p} (id, tag) VALUES (?, ?)`, (d) => [small(d), '#']),
      line(`INSERT ${how()} INTO ${c} (p, tag) VALUES (?, ?), (?, 0)`, (d) => [d.below(5), '#', d.below(5)]),
      line(`DELETE FROM ${p} WHERE id = ? AND tag <> ?`, (d) => [small(d), '#']),
      line(`UPDATE ${p} SET id = id + 1, tag = ? WHERE id >= ?`, (d) => ['#', small(d)]),
      line(`INSERT OR REPLACE INTO ${p} (id, x, tag) VALUES (?, 'new', ?)`, (d) => [small(d), '#']),
      line(`UPDATE ${how()} ${c} SET p = ?, tag = ? WHERE id >= ?`, (d) => [d.below(5), '#', small(d)]),
    ],
    reads: [
      line(
        `SELECT ${c}.id, p, x FROM ${c} LEFT JOIN ${p} ON ${p}.id = p WHERE ${c}.tag <> ? ORDER BY 1`,
        () => ['#'],
      ),
    ],
  };
};

/** A table that refers to itself, and one that a program may add: until then nothing is deferred. */
export const tree: Kind = (n, dice) => {
  const [t, late] = [`t${n}`, `late${n}`];
  const deferred = dice.oneIn(4) ? 'DEFERRABLE INITIALLY DEFERRED' : '';
  // Few, so that a parent comes soon after its child.
  const orphan = (d: Dice): Param => 3 + d.below(4);
  return {
    schema:
      `CREATE TABLE ${t} (id INTEGER PRIMARY KEY, up INTEGER REFERENCES ${t} ON DELETE ${dice.of(['CASCADE', 'NO ACTION'])} ${deferred}, ` +
      `tag INTEGER); INSERT INTO ${t} VALUES (1, NULL, 0), (2, 1, 0);`,
    table: t,
    writes: [
      line(`INSERT INTO ${t} (up, tag) VALUES (?, ?)`, (d) => [small(d), '#']),
      line(`INSERT INTO ${late} (up, tag) VALUES (?, ?)`, (d) => [orphan(d), '#']),
      line(`INSERT INTO ${t} (id, up, tag) VALUES (?, ?, ?)`, (d) => [
        orphan(d),
        orWrong<Param>(d, null, small(d)),
        '#',
      ]),
      line(`INSERT INTO ${t} (id, up, tag) VALUES (?, ?, ?), (?, ?, 0)`, (d) => [
        orphan(d),
        small(d),
        '#',
        orphan(d),
        small(d),
      ]),
      line(`DELETE FROM ${t} WHERE id = ? AND tag <> ?`, (d) => [small(d), '#']),
      line(`UPDATE ${t} SET up = ?, tag = ? WHERE id >= ?`, (d) => [small(d), '#', small(d)]),
    ],
    reads: [line(`SELECT id, up, tag FROM ${t} WHERE tag <> ? ORDER BY id`, () => ['#'])],
    changes: [
      `CREATE /*#*/ TABLE IF NOT EXISTS ${late} (id INTEGER PRIMARY KEY, up REFERENCES ${t} DEFERRABLE INITIALLY DEFERRED, tag INTEGER)`,
      `CREATE /*#*/ TABLE IF NOT EXISTS ${late} (id INTEGER PRIMARY KEY, up REFERENCES ${t}, tag INTEGER)`,
    ],
  };
};

export const guarded: Kind = (n, dice, isPlain) => {
  const [g, log] = [`g${n}`, `log${n}`];
  const raise = (): string =>
    dice.of(["ABORT, 'no'", "FAIL, 'no'", 'IGNORE', ...(isPlain ? [] : ["ROLLBACK, 'no'"])]);
  const when = dice.of(['BEFORE', 'AFTER']);
  // Inside a trigger both are defined once the trigger itself has changed a row.
  const noted = dice.of([
    '',
    `INSERT INTO ${log} VALUES ('noted', 0, new.tag); UPDATE ${log} SET n = n + changes() + (last_insert_rowid() > 0);`,
  ]);
  const event = dice.of(['INSERT', 'UPDATE', 'INSERT']);
  return {
    schema:
      `CREATE TABLE ${g} (id INTEGER PRIMARY KEY, v INTEGER, tag INTEGER); CREATE TABLE ${log} (what, n, tag INTEGER); ` +
      `CREATE TRIGGER ${g}_one ${when} ${event} ON ${g} WHEN new.v = 3 BEGIN ${noted} SELECT RAISE(${raise()}); END; ` +
      `CREATE TRIGGER ${g}_log AFTER ${event} ON ${g} WHEN new.v = 2 BEGIN ${noted} SELECT 1; END; ` +
      `CREATE TRIGGER ${g}_gone AFTER DELETE ON ${g} WHEN old.v = 4 BEGIN INSERT INTO ${log} VALUES ('gone', 0, old.tag); SELECT RAISE(${raise()}); END; ` +
      (isPlain
        ? ''
        : `CREATE TRIGGER ${g}_deep AFTER INSERT ON ${g} WHEN new.v > 7 BEGIN INSERT INTO ${g} (v, tag) VALUES (new.v + 1, 0); END; `) +
      `INSERT INTO ${g} VALUES (1, 1, 0), (2, 2, 0), (3, 4, 0);`,
    table: g,
    writes: [
      line(`INSERT INTO ${g} (v, tag) VALUES (?, ?)`, (d) => [small(d), '#']),
      line(`INSERT ${or(dice, isPlain)} INTO ${g} (v, tag) VALUES (?, ?), (?, 0), (?, 0)`, (d) => [
        d.below(5),
        '#',
        d.below(5),
        d.below(5),
      ]),
      line(`UPDATE ${g} SET v = v + 1, tag = ? WHERE id >= ?`, (d) => ['#', small(d)]),
      line(`DELETE FROM ${g} WHERE v >= ? AND tag <> ?`, (d) => [small(d), '#']),
      line(`INSERT OR REPLACE INTO ${g} (id, v, tag) VALUES (?, ?, ?)`, (d) => [small(d), small(d), '#']),
      line(`INSERT INTO ${g} (v, tag) VALUES (?, ?) RETURNING id, v`, (d) => [small(d), '#']),
    ],
    reads: [
      line(`SELECT id, v, tag FROM ${g} WHERE tag <> ? ORDER BY id`, () => ['#']),
      line(`SELECT what, n, tag FROM ${log} WHERE tag <> ? ORDER BY rowid`, () => ['#']),
    ],
  };
};

export const seen: Kind = (n, dice, isPlain) => {
  const [b, v] = [`b${n}`, `v${n}`];
  return {
    schema:
      `CREATE TABLE ${b} (id INTEGER PRIMARY KEY, x INTEGER UNIQUE ${onConflict(dice, isPlain)}, tag INTEGER); ` +
      `CREATE VIEW ${v} AS SELECT id, x, tag FROM ${b}; ` +
      `CREATE TRIGGER ${v}_in INSTEAD OF INSERT ON ${v} BEGIN INSERT INTO ${b} (x, tag) VALUES (new.x, new.tag); ` +
      `INSERT INTO ${b} (x, tag) SELECT new.x + 20, 0 WHERE new.x > 4; END; ` +
      `CREATE TRIGGER ${v}_up INSTEAD OF UPDATE ON ${v} BEGIN UPDATE ${b} SET x = new.x, tag = new.tag WHERE id = old.id; END; ` +
      `CREATE TRIGGER ${v}_out INSTEAD OF DELETE ON ${v} BEGIN DELETE FROM ${b} WHERE id = old.id AND x <> 2; END; ` +
      `INSERT INTO ${b} VALUES (1, 1, 0), (2, 2, 0), (3, 3, 0);`,
    table: b,
    writes: [
      line(`INSERT INTO ${v} (x, tag) VALUES (?, ?)`, (d) => [small(d), '#'], true),
      line(
        `INSERT ${or(dice, isPlain)} INTO ${v} (x, tag) VALUES (?, ?), (?, 0)`,
        (d) => [small(d), '#', small(d)],
        true,
      ),
      line(`UPDATE ${v} SET x = x + 1, tag = ? WHERE x >= ?`, (d) => ['#', small(d)]),
      line(`DELETE FROM ${v} WHERE x >= ? AND tag <> ?`, (d) => [small(d), '#']),
      line(`INSERT INTO ${b} (x, tag) VALUES (?, ?)`, (d) => [small(d), '#']),
    ],
    reads: [line(`SELECT id, x, tag FROM ${v} WHERE tag <> ? ORDER BY id`, () => ['#'])],
  };
};
