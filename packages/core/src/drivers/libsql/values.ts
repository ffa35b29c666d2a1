import type { ExecuteHint, Result, Row, Value } from '../../driver.ts';
import { toInteger } from '../integers.ts';
import { UnsupportedError } from '../../errors.ts';
import { numberedParameters } from '../../query/placeholders.ts';
import { parse, type Statement } from '../../query/sql.ts';
import type { StatementResult, WireColumn, WireStatement, WireValue } from './protocol.ts';

/** A statement as it travels. Parameters go by number: the server binds a name by its name only. */
export function wireStatement(
  sql: string,
  params: readonly Value[],
  { returnsRows }: Pick<ExecuteHint, 'returnsRows'>,
): WireStatement {
  const special = params.some(needsArithmetic);
  const text = special ? numberedParameters(sql, formOf(params)) : numberedText(sql);
  return { sql: text, args: params.map(toWire), want_rows: returnsRows };
}

/** As long as the text of a statement is known, so is the text that is sent for it. */
const numbered = new WeakMap<Statement, string>();

function numberedText(sql: string): string {
  const statement = parse(sql);
  let text = numbered.get(statement);
  if (text === undefined) {
    text = numberedParameters(sql);
    numbered.set(statement, text);
  }
  return text;
}

/** JSON has no infinite number, and a negative zero loses its sign: both are computed from a finite one. */
function needsArithmetic(value: Value): value is number {
  return typeof value === 'number' && (Object.is(value, -0) || Math.abs(value) === Infinity);
}

function formOf(params: readonly Value[]): (number: number) => string {
  return (number) => {
    const value = params[number - 1] ?? null;
    if (!needsArithmetic(value)) return `?${String(number)}`;
    return `(?${String(number)}*${value === 0 ? '0.0' : '9e999'})`;
  };
}

function toWire(value: Value): WireValue {
  // Where SQLite is given NaN, it stores NULL.
  if (value === null || Number.isNaN(value)) return { type: 'null' };
  switch (typeof value) {
    case 'string':
      return { type: 'text', value };
    case 'bigint':
      return { type: 'integer', value: String(value) };
    case 'number':
      if (needsArithmetic(value)) return { type: 'float', value: Object.is(value, -0) || value < 0 ? -1 : 1 };
      return Number.isSafeInteger(value)
        ? { type: 'integer', value: String(value) }
        : { type: 'float', value };
    default:
      return {
        type: 'blob',
        base64: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'),
      };
  }
}

/** A value that was read; integers beyond 2^53 are bigints. */
function fromWire(value: WireValue): Value {
  switch (value.type) {
    case 'null':
      return null;
    case 'integer':
      return toInteger(value.value);
    case 'float':
      if (value.value === null)
        throw new UnsupportedError(
          'An infinite number cannot be read from this server: its protocol has none. Write CAST(… AS TEXT) in the SQL.',
        );
      return value.value;
    case 'text':
      return value.value;
    case 'blob':
      return Buffer.from(value.base64, 'base64');
  }
}

/** The names of columns. */
export function columnNames(cols: readonly WireColumn[]): string[] {
  return cols.map(({ name }) => name ?? '');
}

/** A row as an object. */
export function toRow(columns: readonly string[], values: readonly WireValue[]): Row {
  return Object.fromEntries(values.map((value, at) => [columns[at] ?? '', fromWire(value)]));
}

/** The contract has one type for rows; a caller that asked for arrays knows that these are. */
function toArrayRow(values: readonly WireValue[]): Row {
  return values.map(fromWire) as unknown as Row;
}

/** The result of a statement, as the pool wants it. */
export function toResult(
  { cols, rows, affected_row_count, last_insert_rowid }: StatementResult,
  hint: ExecuteHint,
): Result {
  const columns = columnNames(cols);
  // SQLite keeps both counts from an earlier statement when this one has changed nothing.
  const changes = hint.effect === 'none' ? 0 : affected_row_count;
  const inserted = hint.effect === 'insert' && changes > 0 && last_insert_rowid !== null;
  return {
    rows: rows.map((row) => (hint.rowMode === 'array' ? toArrayRow(row) : toRow(columns, row))),
    columns,
    changes,
    lastInsertRowid: inserted ? toInteger(last_insert_rowid) : 0,
  };
}
