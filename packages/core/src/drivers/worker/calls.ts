import type { Reader, WireValue, Writer } from './codec.ts';
import { known } from './protocol.ts';

/**
 * The calls from the main thread to a worker. The writer and the reader are both in this file, so that their formats
 * cannot differ.
 */

/** The kinds of a call. */
export const EXECUTE = 0;
export const BATCH = 1;
export const SCRIPT = 2;
export const ROLLBACK = 3;
export const CLOSE = 4;
export const OPEN_CURSOR = 5;
export const STEP_CURSOR = 6;
export const CLOSE_CURSOR = 7;

/** A statement in the form that a binding runs. */
export interface Text {
  /** The text, in which every parameter is a plain `?`. */
  readonly sql: string;
  /** The numbers of the values, in the order of the text. Empty if the order is 1, 2, 3, … */
  readonly order: readonly number[];
  /** The text as its user wrote it. SQLite makes column names from it. */
  readonly written: string;
}

/** The properties of a statement that are known without running it. */
export const READONLY = 1;
export const INSERTS = 2;
export const CHANGES = 4;

export interface Statement {
  readonly text: Text;
  readonly values: WireValue[];
  readonly flags: number;
}

/** A call as the worker reads it. */
export interface Call {
  readonly connection: number;
  readonly number: number;
  readonly kind: number;
  /** One statement for `EXECUTE` and `OPEN_CURSOR`, all statements of a `BATCH` or `SCRIPT`. */
  readonly statements: readonly Statement[];
  /** The number of a cursor. For a `BATCH`: 1 if it goes on after an error. For a `SCRIPT`: the first statement to run. */
  readonly detail: number;
}

/** The limits of the texts that both ends remember, in texts and in characters. */
const MOST_TEXTS = 1000;
const MOST_TEXT = 1_048_576;
const LONGEST_TEXT = 65_536;

/** The texts that the worker knows by their number. */
export class SentTexts {
  readonly #numbers = new Map<string, number>();
  readonly #describe: (sql: string) => Text;
  #text = 0;

  /**
   * @param describe - Converts a text to the form that a binding runs. Throws if the text is not one statement.
   */
  constructor(describe: (sql: string) => Text) {
    this.#describe = describe;
  }

  /** Writes a text, or its number if the worker knows the text. */
  write(writer: Writer, sql: string): void {
    const known = this.#numbers.get(sql);
    if (known !== undefined) {
      writer.uint(known << 1);
      return;
    }
    const text = this.#describe(sql);
    writer.uint((this.#remember(sql) << 1) | 1);
    writer.text(text.sql);
    writer.uint(text.order.length);
    for (const number of text.order) writer.uint(number);
    if (text.order.length > 0) writer.text(text.written);
  }

  /** Forgets all texts, because the last one may not have been sent. */
  clear(): void {
    this.#numbers.clear();
    this.#text = 0;
  }

  #remember(sql: string): number {
    if (sql.length > LONGEST_TEXT) return 0;
    // Forgets all texts at once. The numbers begin again, and the worker keeps the newest text of a number.
    if (this.#numbers.size >= MOST_TEXTS || this.#text > MOST_TEXT) this.clear();
    const number = this.#numbers.size + 1;
    this.#numbers.set(sql, number);
    this.#text += sql.length;
    return number;
  }
}

/** The reader of the texts that {@link SentTexts} writes. */
export class KnownTexts {
  readonly #texts: Text[] = [];

  read(reader: Reader): Text {
    const tagged = reader.uint();
    const number = tagged >>> 1;
    if ((tagged & 1) === 0) return known(this.#texts[number]);
    const sql = reader.text();
    const order = Array.from({ length: reader.uint() }, () => reader.uint());
    const text: Text = { sql, order, written: order.length > 0 ? reader.text() : sql };
    if (number > 0) this.#texts[number] = text;
    return text;
  }
}

/** Begins a call. Its statements follow. */
export function writeCall(
  writer: Writer,
  connection: number,
  number: number,
  kind: number,
  detail: number,
  statements: number,
): void {
  writer.uint(connection);
  writer.uint(number);
  writer.byte(kind);
  writer.uint(detail);
  writer.uint(statements);
}

export function writeStatement(
  writer: Writer,
  texts: SentTexts,
  sql: string,
  values: readonly WireValue[],
  flags: number,
): void {
  texts.write(writer, sql);
  writer.byte(flags);
  writer.uint(values.length);
  if (values.length > 0) writer.block([values]);
}

export function readCall(reader: Reader, texts: KnownTexts): Call {
  const connection = reader.uint();
  const number = reader.uint();
  const kind = reader.byte();
  const detail = reader.uint();
  const statements = new Array<Statement>(reader.uint());
  for (let at = 0; at < statements.length; at += 1) statements[at] = readStatement(reader, texts);
  return { connection, number, kind, statements, detail };
}

function readStatement(reader: Reader, texts: KnownTexts): Statement {
  const text = texts.read(reader);
  const flags = reader.byte();
  const count = reader.uint();
  const values = count === 0 ? [] : reader.values(count);
  return { text, values: text.order.length > 0 ? text.order.map((at) => values[at - 1]) : values, flags };
}
