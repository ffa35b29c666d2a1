import type { ExecuteHint, Result, Row } from '../../driver.ts';

/**
 * Column names. The package reports them only as the keys of a row, and it makes a row by assignments to an object. So
 * the last of two columns with the same name wins, and names that are numbers come first. An assignment to `__proto__`
 * makes no property: it sets the prototype, or does nothing.
 */

const PROTO = '__proto__';

/**
 * Finds out whether a table or view has such a column. The query reads the file, so it also shows whether the file is a
 * database. The name is in two parts: otherwise the text would note itself as one that may create such a column.
 */
export const FIND_PROTO_COLUMN: string =
  "SELECT count(*) AS found FROM sqlite_schema WHERE instr(sql, '__pro' || 'to__')";

/** What is known about columns with the name `__proto__`, for all handles of a pool. */
export class ProtoColumns {
  #known = false;

  /** The schema has such a column. */
  found(): void {
    this.#known = true;
  }

  /** Notes a text before it runs. A text with that name in it may create such a column. */
  note(sql: string): void {
    if (sql.includes(PROTO)) this.#known = true;
  }

  /** Whether a query may return such a column. */
  mayBeIn(sql: string): boolean {
    return this.#known && (sql.includes('*') || sql.includes(PROTO));
  }
}

/**
 * Repairs rows whose prototype was set by the column `__proto__`, and gives them a property instead. NULL and bytes can
 * be a prototype.
 */
export function mendPrototypes(rows: readonly Row[]): void {
  // Not Object.prototype, because test runners have several of them.
  let usual: unknown;
  for (const row of rows) {
    const prototype: unknown = Object.getPrototypeOf(row);
    if (prototype === usual) continue;
    if (prototype !== null && !ArrayBuffer.isView(prototype)) usual = prototype;
    else {
      Object.setPrototypeOf(row, Object.prototype);
      setOwn(row, PROTO, prototype);
    }
  }
}

/** A query that returns the same rows, with columns named by their position. */
export function byPosition(sql: string, names: readonly string[]): string {
  return `WITH sqlite_pool(${names.map((_, at) => positionName(at)).join(', ')}) AS (${sql}\n) SELECT * FROM sqlite_pool`;
}

/** The values of a row of such a query. */
export function valuesOf(row: Row, names: readonly string[]): unknown[] {
  return names.map((_, at) => row[positionName(at)]);
}

function positionName(at: number): string {
  return `c${String(at)}`;
}

/** A row of such values, as the package should have made it. */
export function rowOf(names: readonly string[], values: readonly unknown[]): Row {
  const row: Row = {};
  names.forEach((name, at) => {
    setOwn(row, name, values[at]);
  });
  return row;
}

function setOwn(row: Row, name: string, value: unknown): void {
  Object.defineProperty(row, name, { value, configurable: true, enumerable: true, writable: true });
}

/** Whether JavaScript treats a name as an index. Such keys of an object come first, in numeric order. */
function isIndex(name: string): boolean {
  return /^\d+$/.test(name);
}

/** Wraps the query in another one. There SQLite names the second of two columns "id" "id:1", so that no value is lost. */
function withUniqueNames(sql: string): string {
  return `SELECT * FROM (${sql}\n)`;
}

/**
 * The names of a query's columns, in order, as {@link withUniqueNames} makes them. `LIMIT 0` keeps the query from
 * running.
 *
 * @param ask - Runs a query.
 */
async function uniqueNames(sql: string, ask: (sql: string) => Promise<Row[]>): Promise<string[]> {
  const none = `${withUniqueNames(sql)} LIMIT 0`;
  const keysOf = async (text: string): Promise<[name: string, value: unknown][]> => {
    const [row] = await ask(text);
    return Object.entries({ ...row });
  };
  // All values are NULL, also that of a column `__proto__`, which does become a key then.
  const width = (await keysOf(`SELECT * FROM (SELECT 1 AS sqlite_pool) LEFT JOIN (${none}) ON 0`)).length - 1;
  // Every column without a key in this row is called `__proto__`.
  const names = Array.from({ length: width }, () => PROTO);
  const positions = names.map((_, at) => String(at)).join(', ');
  for (const [name, at] of await keysOf(`SELECT * FROM (${none}) UNION ALL VALUES (${positions})`))
    names[Number(at)] = name;
  return names;
}

/** The name before SQLite distinguished it from an earlier one. */
export function originalName(name: string, at: number, names: readonly string[]): string {
  const original = name.replace(/:\d+$/, '');
  return names.slice(0, at).some((earlier) => earlier.toLowerCase() === original.toLowerCase())
    ? original
    : name;
}

/** Runs statements with the parameters of a call. */
export interface Asked {
  readonly rows: (sql: string) => Promise<Row[]>;
  readonly execute: (sql: string) => Promise<Result>;
}

/**
 * Runs a statement whose rows must be arrays, or contain a column `__proto__`. For that it wraps a query in another
 * one. It cannot wrap a `RETURNING` or a PRAGMA.
 */
export async function executeNamed(
  sql: string,
  hint: ExecuteHint,
  columns: ProtoColumns,
  asked: Asked,
): Promise<Result> {
  const found = await protoNames(sql, hint, columns, asked);
  if (found !== undefined) {
    const rows = await asked.rows(byPosition(sql, found));
    return named(
      found.map(originalName),
      rows.map((row) => valuesOf(row, found)),
      hint,
    );
  }
  if (hint.rowMode === 'object') return await asked.execute(sql);
  const isQuery = isSelect(sql, hint);
  const { rows, changes, lastInsertRowid } = await asked.execute(isQuery ? withUniqueNames(sql) : sql);
  let names = Object.keys(rows[0] ?? {});
  if (isQuery && (names[0] === undefined || isIndex(names[0]))) names = await uniqueNames(sql, asked.rows);
  const arrays = rows.map((row) => names.map((name) => row[name]));
  return { ...named(names.map(originalName), arrays, hint), changes, lastInsertRowid };
}

/** The names of a query's columns, as {@link withUniqueNames} makes them, if one of them is `__proto__`. */
export async function protoNames(
  sql: string,
  hint: ExecuteHint,
  columns: ProtoColumns,
  { rows }: Asked,
): Promise<string[] | undefined> {
  if (!isSelect(sql, hint) || !columns.mayBeIn(sql)) return undefined;
  const names = await uniqueNames(sql, rows);
  return names.includes(PROTO) ? names : undefined;
}

function isSelect(sql: string, { readonly }: ExecuteHint): boolean {
  return readonly && /^(?:select|with|values)\b/i.test(sql);
}

function named(columns: readonly string[], values: readonly unknown[][], { rowMode }: ExecuteHint): Result {
  // The contract has one type for rows. A caller that asked for arrays knows that the rows are arrays.
  const rows = rowMode === 'array' ? (values as unknown as Row[]) : values.map((row) => rowOf(columns, row));
  return { rows, columns, changes: 0, lastInsertRowid: 0 };
}

/** The result of a statement, from rows that the package made. */
export function result(rows: Row[], changes: number, lastInsertRowid: number | bigint): Result {
  return { rows, columns: Object.keys(rows[0] ?? {}), changes, lastInsertRowid };
}
