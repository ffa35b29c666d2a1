import type { Append, Op, Read } from './history.ts';

/**
 * The lists of a history. The first letter of a list's name says where it is: `t`: as one text, in a row of `texts`; `r`: as a row for
 * each value, in the order of their rowids; `s`: the same in a STRICT table, where a value of another type is refused.
 *
 * Only `texts` has constraints: with one, SQLite keeps a journal for a statement that inserts several rows, and then every failure of
 * it undoes them all. Without one, some leave in the transaction what was inserted before.
 */
export const SCHEMA = `
  CREATE TABLE texts (name TEXT PRIMARY KEY, list TEXT NOT NULL);
  CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, value INTEGER);
  CREATE INDEX rows_by_name ON rows (name);
  CREATE TABLE strict_rows (id INTEGER PRIMARY KEY, name TEXT, value INTEGER, at INTEGER) STRICT;
  CREATE INDEX strict_rows_by_name ON strict_rows (name);
  CREATE TABLE parents (id INTEGER PRIMARY KEY);
  CREATE TABLE children (parent INTEGER REFERENCES parents);
`;

/** What a row in `strict_rows` does, beside being one, where the schema is the one below. */
const BREAKS = 1;
export const REPAIRS: number = 2;

/**
 * With it, a statement that is alone can fail at its COMMIT; in one transaction with another one that repairs what it has broken, it
 * would not.
 */
export const DEFERRED_SCHEMA: string = `
  CREATE TABLE orphans (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED);
  CREATE TRIGGER breaks AFTER INSERT ON strict_rows WHEN new.at = ${String(BREAKS)}
    BEGIN INSERT INTO orphans VALUES (0); END;
  CREATE TRIGGER repairs AFTER INSERT ON strict_rows WHEN new.at = ${String(REPAIRS)}
    BEGIN DELETE FROM orphans; END;
`;

/** Where a list is, by the first letter of its name. */
export type Place = 't' | 'r' | 's';

const TABLES = { t: 'texts', r: 'rows', s: 'strict_rows' } as const;

export function placeOf(list: string): Place {
  return list[0] as Place;
}

/** A statement, and what to do with its rows. */
export interface Statement {
  readonly sql: string;
  readonly params: (string | number)[];
  readonly take?: (rows: readonly unknown[]) => void;
  /** Whether its rows are one at most, so that `get` will do. */
  readonly oneRow?: boolean;
}

interface ListRow {
  readonly name: string;
  readonly list: string | number;
}

/** Reads lists of one place, in one statement. */
export function reading(reads: readonly Read[]): Statement {
  const place = placeOf(reads[0]!.read);
  const columns = place === 't' ? 'name, list' : 'name, value AS list';
  const order = place === 't' ? '' : ' ORDER BY id';
  return {
    sql: `SELECT ${columns} FROM ${TABLES[place]} WHERE name IN (${reads.map(() => '?').join(', ')})${order}`,
    params: reads.map(({ read }) => read),
    take: (rows) => {
      for (const read of reads) read.saw = valuesOf(rows as readonly ListRow[], read.read);
    },
    oneRow: place === 't' && reads.length === 1,
  };
}

/** Every list there is, in one statement for each place. */
export const READ_ALL: readonly string[] = [
  'SELECT name, list FROM texts',
  'SELECT name, value AS list FROM rows ORDER BY id',
  'SELECT name, value AS list FROM strict_rows ORDER BY id',
];

/** The values of a list, of which each row has one or many. */
export function valuesOf(rows: readonly ListRow[], name: string): number[] {
  return rows.filter((row) => row.name === name).flatMap(({ list }) => String(list).split(',').map(Number));
}

const UPSERT = "ON CONFLICT (name) DO UPDATE SET list = list || ',' || excluded.list";

/** Appends to one list, or to several of one place, in one statement; `at` is what a row in `strict_rows` does besides. */
export function appending(appends: readonly Append[], at: number = 0): Statement {
  const place = placeOf(appends[0]!.to);
  const rows = appends.map(() => (place === 's' ? '(?, ?, ?)' : '(?, ?)')).join(', ');
  const params = appends.flatMap((append) => rowOf(append, at));
  if (place === 's') return { sql: `INSERT INTO strict_rows (name, value, at) VALUES ${rows}`, params };
  if (place === 'r') return { sql: `INSERT INTO rows (name, value) VALUES ${rows}`, params };
  return { sql: `INSERT INTO texts (name, list) VALUES ${rows} ${UPSERT}`, params };
}

/** What is bound for one row. For a text it is one, because a driver may bind a number as a floating-point number. */
function rowOf({ append, to }: Append, at: string | number): (string | number)[] {
  if (placeOf(to) === 't') return [to, String(append)];
  return placeOf(to) === 'r' ? [to, append] : [to, append, at];
}

/** Writes a list of place `t` anew: what was read of it, and one value more. An append that came between is overwritten. */
export function overwriting({ append, to }: Append, saw: readonly number[]): Statement {
  return {
    sql: 'INSERT INTO texts (name, list) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET list = excluded.list',
    params: [to, [...saw, append].join(',')],
  };
}

/** Appends, and reads the list after it by RETURNING. */
export function appendingAndReading(append: Append, read: Read): Statement {
  const { sql, params } = appending([append]);
  const take = (rows: readonly unknown[]): void => {
    read.saw = valuesOf(rows as readonly ListRow[], read.read);
  };
  return { sql: `${sql} RETURNING name, list`, params, take, oneRow: true };
}

/** Statements that append, and that SQLite refuses, most of them after they have appended. */
export type Refusal =
  | 'wrong type'
  | 'broken until the COMMIT'
  | 'wrong type in the second row'
  | 'no JSON in the second row'
  | 'overflow in the second row'
  | 'NULL in the second row'
  | 'rolls everything back';

const REFUSALS: Readonly<Record<Refusal, { readonly place: Place; readonly sql: string }>> = {
  /** The text is that of an append that is not refused. */
  'wrong type': { place: 's', sql: 'INSERT INTO strict_rows (name, value, at) VALUES (?, ?, ?)' },
  /** Only where the schema is the deferred one. */
  'broken until the COMMIT': {
    place: 's',
    sql: 'INSERT INTO strict_rows (name, value, at) VALUES (?, ?, ?)',
  },
  'wrong type in the second row': {
    place: 's',
    sql: "INSERT INTO strict_rows (name, value) VALUES (?, ?), ('s', 'no integer')",
  },
  'no JSON in the second row': {
    place: 'r',
    sql: "INSERT INTO rows (name, value) SELECT column1, iif(column1 = 'r', json(column1), column2) FROM (VALUES (?, ?), ('r', 0))",
  },
  'overflow in the second row': {
    place: 'r',
    sql: "INSERT INTO rows (name, value) SELECT column1, abs(column2) FROM (VALUES (?, ?), ('r', -9223372036854775808))",
  },
  'NULL in the second row': {
    place: 't',
    sql: `INSERT INTO texts (name, list) VALUES (?, ?), ('t', NULL) ${UPSERT}`,
  },
  'rolls everything back': {
    place: 't',
    sql: `INSERT OR ROLLBACK INTO texts (name, list) VALUES (?, ?), ('t', NULL) ${UPSERT}`,
  },
};

/** Those that the schema makes possible. */
export function refusals(deferred: boolean): [Refusal, ...Refusal[]] {
  const all = Object.keys(REFUSALS) as Refusal[];
  const [first, ...others] = all.filter((refusal) => deferred || refusal !== 'broken until the COMMIT');
  return [first!, ...others];
}

export function refusalPlace(refusal: Refusal): Place {
  return REFUSALS[refusal].place;
}

export function refused(refusal: Refusal, append: Append): Statement {
  const { sql } = REFUSALS[refusal];
  const params = rowOf(append, refusal === 'broken until the COMMIT' ? BREAKS : 'no integer');
  return { sql, params: params.slice(0, sql.split('?').length - 1) };
}

/** A statement that fails inside a transaction, and leaves nothing in it. */
export const FAILS_ALONE: Refusal = 'NULL in the second row';

/** A script in which nothing is bound. */
export function asScript(statements: readonly Statement[]): string {
  const texts = statements.map(({ sql, params }) => {
    let next = 0;
    return sql.replaceAll('?', () => {
      const param = params[next++];
      return typeof param === 'string' ? `'${param}'` : String(param);
    });
  });
  return `BEGIN IMMEDIATE; ${texts.join('; ')}; COMMIT`;
}

/** The appends among operations that have no savepoint in them. */
export function appendsIn(ops: readonly Op[]): Append[] {
  return ops.filter((op) => 'append' in op);
}
