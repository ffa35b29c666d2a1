/**
 * INSERTs of one row, which can be run together: most of what a small INSERT takes is the call itself, and SQLite inserts
 * hundreds of rows in the time of one.
 */

// SQLite's own: what else JavaScript takes for space is part of a name there, or an error.
const SPACE = '[ \\t\\n\\f\\r]';
const NAME = /(?:[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|"[^"]+"|`[^`]+`|\[[^\]]+\])/;
/** What means the same in every row: a parameter or a literal. A function or a subquery may be called once for all of them. */
const ITEM = /(?:\?|[:@$][a-z_]\w*|[+-]?\d+(?:\.\d+)?|'[^']*'|null|true|false)/;
const LIST = ({ source: item }: RegExp): string =>
  `\\(${SPACE}*${item}(?:${SPACE}*,${SPACE}*${item})*${SPACE}*\\)`;
const ROW_INSERT = new RegExp(
  `^(insert${SPACE}+into${SPACE}+(${NAME.source})${SPACE}*(?:${LIST(NAME)}${SPACE}*)?values)${SPACE}*(${LIST(ITEM)})$`,
  'i',
);

/** A text longer than this is generated, and hardly comes twice. */
const LONGEST = 2000;

const EXACT = String(Number.MAX_SAFE_INTEGER);
const ROWID = `CASE WHEN _rowid_ BETWEEN -${EXACT} AND ${EXACT} THEN _rowid_ ELSE CAST(_rowid_ AS TEXT) END`;

/** An INSERT of one row, all of it parameters and literals, into a table of any schema. */
export class RowInsert {
  /** The name of the table, as SQLite knows it. */
  readonly table: string;
  /** How many parameters a row has. */
  readonly parameters: number;
  readonly #head: string;
  readonly #row: string;
  readonly #texts = new Map<number, string>();

  constructor(head: string, table: string, items: readonly string[]) {
    this.#head = head;
    this.table = /^\w/.test(table) || table > '\u007f' ? table : table.slice(1, -1);
    this.#row = `(${items.join(', ')})`;
    this.parameters = items.filter((item) => item === '?').length;
  }

  /**
   * The text that inserts so many rows, and returns the rowid of each: as text where drivers would round it. SQLite returns them
   * in the order in which it has inserted them.
   */
  textFor(rows: number): string {
    let text = this.#texts.get(rows);
    if (text === undefined) {
      const all = Array<string>(rows).fill(this.#row).join(', ');
      text = `${this.#head} ${all} RETURNING ${ROWID} AS id`;
      this.#texts.set(rows, text);
    }
    return text;
  }
}

/** Reads a statement with so many parameters; `undefined` if it is anything else, or may be. */
export function rowInsertOf(sql: string, parameters: number): RowInsert | undefined {
  if (sql.length > LONGEST) return undefined;
  const [, head, table, row] = ROW_INSERT.exec(sql) ?? [];
  if (head === undefined || table === undefined || row === undefined) return undefined;
  const items = [...row.matchAll(new RegExp(ITEM, 'gi'))].map(([item]) => (/^[:@$]/.test(item) ? '?' : item));
  const insert = new RowInsert(head, table, items);
  // With a name that stands twice in it, the values of a call would be fewer than the parameters here.
  return insert.parameters === parameters ? insert : undefined;
}
