import type { Result, Row } from '../../driver.ts';
import type { Call } from './calls.ts';
import type { Reader, WireValue, Writer } from './codec.ts';
import { known, type WireError } from './protocol.ts';

/** The answers of a worker. The writer and the reader are both in this file, so that their formats cannot differ. */

/** The result of a statement, in the worker. */
export interface Executed {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly WireValue[])[];
  readonly changes: number | bigint;
  readonly lastInsertRowid: number | bigint;
}

/** The outcome of one statement of a batch, in the worker. */
export type WireOutcome =
  | { readonly status: 'done'; readonly result: Executed }
  | { readonly status: 'failed' | 'undone'; readonly error: unknown };

/** The kinds of an answer. */
export const DONE = 0;
export const RESULT = 1;
export const ERROR = 2;
export const OUTCOMES = 3;
/** The rows of a cursor: the last ones, and earlier ones. */
export const LAST_ROWS = 4;
export const ROWS = 5;
/** The number of statements of a script that have run, and the error of the next one. */
export const STOPPED = 6;

const IN_TRANSACTION = 0x80;
const LONG = 0x40;

const STATUSES = ['done', 'failed', 'undone'] as const;

/** The number of rows that share one string. A caller that keeps one of their texts keeps the others in memory. */
const ROWS_PER_BLOCK = 64;

const MOST_SHAPES = 1000;

/** Writes answers, in the worker. */
export class AnswerWriter {
  readonly writer: Writer;
  /** The lists of columns that the main thread knows by their number. */
  #shapes = new Map<string, number>();
  /** The numbers again, by the identity of the list: the column names of a statement stay one object. */
  #known = new WeakMap<readonly string[], number>();

  constructor(writer: Writer) {
    this.writer = writer;
  }

  /** Forgets the lists of columns, because the answer that introduced one may not have been sent. */
  clear(): void {
    this.#shapes = new Map();
    this.#known = new WeakMap();
  }

  /**
   * @param long - Whether the call took so long that other calls should not wait behind one like it.
   */
  begin({ connection, number }: Call, kind: number, inTransaction: boolean, long: boolean): void {
    this.writer.uint(connection);
    this.writer.uint(number);
    this.writer.byte(kind | (inTransaction ? IN_TRANSACTION : 0) | (long ? LONG : 0));
  }

  result({ columns, rows, changes, lastInsertRowid }: Executed): void {
    this.writer.integer(changes);
    this.writer.integer(lastInsertRowid);
    this.rows(columns, rows);
  }

  rows(columns: readonly string[], rows: Executed['rows']): void {
    this.#shape(columns);
    this.writer.uint(rows.length);
    for (let at = 0; at < rows.length; at += ROWS_PER_BLOCK)
      this.writer.block(rows.length > ROWS_PER_BLOCK ? rows.slice(at, at + ROWS_PER_BLOCK) : rows);
  }

  error({ message, code, errno }: WireError): void {
    this.writer.text(message);
    this.writer.text(code);
    this.writer.uint(errno);
  }

  outcomes(outcomes: readonly WireOutcome[], describe: (error: unknown) => WireError): void {
    for (const outcome of outcomes) {
      this.writer.byte(STATUSES.indexOf(outcome.status));
      if (outcome.status === 'done') this.result(outcome.result);
      else this.error(describe(outcome.error));
    }
  }

  #shape(columns: readonly string[]): void {
    const known = this.#known.get(columns) ?? this.#same(columns);
    if (known !== undefined) {
      this.writer.uint(known << 1);
      return;
    }
    if (this.#shapes.size >= MOST_SHAPES) this.clear();
    const number = this.#shapes.size;
    this.#shapes.set(JSON.stringify(columns), number);
    this.#known.set(columns, number);
    this.writer.uint((number << 1) | 1);
    this.writer.uint(columns.length);
    this.writer.block([columns]);
  }

  /** The number of an equal list. */
  #same(columns: readonly string[]): number | undefined {
    const number = this.#shapes.get(JSON.stringify(columns));
    if (number !== undefined) this.#known.set(columns, number);
    return number;
  }
}

/** The beginning of an answer. */
export interface AnswerHead {
  readonly connection: number;
  readonly number: number;
  readonly kind: number;
  readonly inTransaction: boolean;
  readonly long: boolean;
}

/** The outcome of one statement of a batch, in the main thread. */
export type ReadOutcome =
  | { readonly status: 'done'; readonly result: Result }
  | { readonly status: 'failed' | 'undone'; readonly error: WireError };

/** Reads answers, in the main thread. */
export class AnswerReader {
  readonly reader: Reader;
  readonly #shapes: (readonly string[])[] = [];

  constructor(reader: Reader) {
    this.reader = reader;
  }

  head(): AnswerHead {
    const connection = this.reader.uint();
    const number = this.reader.uint();
    const kind = this.reader.byte();
    return {
      connection,
      number,
      kind: kind & ~(IN_TRANSACTION | LONG),
      inTransaction: (kind & IN_TRANSACTION) !== 0,
      long: (kind & LONG) !== 0,
    };
  }

  result(rowMode: 'object' | 'array'): Result {
    const changes = this.reader.value() as number;
    const lastInsertRowid = this.reader.value() as number | bigint;
    const { columns, rows } = this.rows(rowMode);
    // A copy for the caller, who may change it: every later answer with these columns is read with this list.
    return { rows, columns: [...columns], changes, lastInsertRowid };
  }

  rows(rowMode: 'object' | 'array'): { columns: readonly string[]; rows: Row[] } {
    const { reader } = this;
    const columns = this.#shape();
    const count = reader.uint();
    const rows = new Array<Row>(count);
    const make = rowMode === 'array' ? arrayRow : columns.includes('__proto__') ? carefulRow : objectRow;
    for (let at = 0; at < count; at += 1) {
      if (at % ROWS_PER_BLOCK === 0) reader.openBlock();
      rows[at] = make(reader, columns);
      if (at % ROWS_PER_BLOCK === ROWS_PER_BLOCK - 1 || at === count - 1) reader.closeBlock();
    }
    return { columns, rows };
  }

  error(): WireError {
    return { message: this.reader.text(), code: this.reader.text(), errno: this.reader.uint() };
  }

  /** One outcome per statement. `rowModes`: the row modes of the statements. */
  outcomes(rowModes: readonly ('object' | 'array')[]): ReadOutcome[] {
    return rowModes.map((rowMode) => {
      const status = known(STATUSES[this.reader.byte()]);
      return status === 'done' ? { status, result: this.result(rowMode) } : { status, error: this.error() };
    });
  }

  #shape(): readonly string[] {
    const tagged = this.reader.uint();
    const number = tagged >>> 1;
    if ((tagged & 1) === 1) this.#shapes[number] = this.reader.values(this.reader.uint()) as string[];
    return known(this.#shapes[number]);
  }
}

function objectRow(reader: Reader, columns: readonly string[]): Row {
  const row: Row = {};
  for (const column of columns) row[column] = reader.value();
  return row;
}

/** An assignment to `__proto__` would change the prototype of the row. */
function carefulRow(reader: Reader, columns: readonly string[]): Row {
  const row: Row = {};
  for (const column of columns) {
    const value = reader.value();
    Object.defineProperty(row, column, { value, configurable: true, enumerable: true, writable: true });
  }
  return row;
}

/** The contract has one type for rows. A caller that asked for arrays knows that the rows are arrays. */
function arrayRow(reader: Reader, columns: readonly string[]): Row {
  return columns.map(() => reader.value()) as unknown as Row;
}
