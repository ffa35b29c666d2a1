import { InvalidArgumentError } from '../errors.ts';

/**
 * What kind of statement a text is. The driver does not say whether a statement writes, so the pool reads the text:
 * far enough to know what it must take care of, never to change its meaning. When in doubt a statement counts as one
 * that writes, returns rows and leaves something behind: that costs time, never correctness.
 */

/** How a statement moves its connection between autocommit and a transaction. */
export type TransactionControl =
  'none' | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to';

/** One statement, as far as the pool needs to know it. */
export interface Statement {
  readonly sql: string;
  readonly control: TransactionControl;
  /** Whether it takes no write lock: it then needs no turn at the write gate. */
  readonly readonly: boolean;
  /** Whether it may return rows. `INSERT … RETURNING` does. */
  readonly returnsRows: boolean;
  /** What it does to rows: only then do the counts of a result mean this statement. */
  readonly effect: 'insert' | 'change' | 'none';
  /** Whether it leaves state on the connection (TEMP, ATTACH, PRAGMA) that the next user must not see. */
  readonly taints: boolean;
  /** Parameters by index: a name, or `undefined` for a `?`. https://www.sqlite.org/lang_expr.html#varparam */
  readonly parameters: readonly (string | undefined)[];
  /** What to run when only the first row is wanted: the same with `LIMIT 1`, or itself if that cannot be added. */
  readonly firstRow: Omit<Statement, 'firstRow'>;
}

/** Texts that were read already. Applications have few; one that builds its texts must not fill the memory. */
const known = new Map<string, Statement>();
let knownText = 0;
const MOST_KNOWN = 1000;
const MOST_KNOWN_TEXT = 1_048_576;
const LONGEST_KNOWN = 65_536;

/** Reads a text that must hold exactly one statement. */
export function parse(sql: string): Statement {
  const seen = known.get(sql);
  if (seen !== undefined) return seen;

  const [statement, second] = read(sql);
  if (statement === undefined) throw new InvalidArgumentError('The SQL text has no statement in it.');
  if (second !== undefined) {
    throw new InvalidArgumentError(
      'The SQL text has more than one statement. Use script(), which takes no parameters.',
    );
  }
  if (sql.length <= LONGEST_KNOWN) remember(sql, statement);
  return statement;
}

/** Reads every statement of a text, which has no parameters: SQLite would bind NULL to each. */
export function parseScript(sql: string): Statement[] {
  const statements = read(sql);
  const at = statements.findIndex(({ parameters }) => parameters.length > 0);
  if (at === -1) return statements;
  throw new InvalidArgumentError(
    `Statement ${String(at + 1)} of the script has a parameter, and a script takes none. Use run() for it, in a transaction().`,
  );
}

/** Whether the statements of a script are done all or not at all: one, or a transaction from its first to its last. */
export function isAllOrNothing(statements: readonly Pick<Statement, 'control'>[]): boolean {
  const [first, ...others] = statements.map(({ control }) => control);
  const last = others.pop();
  if (last === undefined) return true;
  // A RELEASE of the outermost savepoint commits: https://www.sqlite.org/lang_savepoint.html
  const begins = first === 'begin' || (first === 'savepoint' && !others.includes('release'));
  return begins && last === 'commit' && !others.some((control) => ENDS_TRANSACTION.has(control));
}

const ENDS_TRANSACTION: ReadonlySet<TransactionControl> = new Set(['commit', 'rollback']);

/** Whether a script needs the turn to write. */
export function scriptWrites(sql: string): boolean {
  return parseScript(sql).some(({ readonly }) => !readonly);
}

function remember(sql: string, statement: Statement): void {
  known.set(sql, statement);
  knownText += sql.length;
  for (const oldest of known.keys()) {
    if (known.size <= MOST_KNOWN && knownText <= MOST_KNOWN_TEXT) break;
    known.delete(oldest);
    knownText -= oldest.length;
  }
}

// One alternative per kind of token, as in https://www.sqlite.org/src/file/src/tokenize.c. A doubled quote inside a
// string makes two tokens of it, which is all the same here. No alternative
// can fail after it has read far, so that the time is linear, however odd the text.
const SPACE = /[ \t\n\f\r][ \t\n\v\f\r]*|\ufeff|--[^\n]*|\/\*[^]*?(?:\*\/|$)/;
const QUOTED = /'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)/;
// With any of its four signs SQLite takes a name as Tcl has them, `$a::b(c)`.
const PARAMETER = /\?\d*|[:@$#][\w$:\u0080-\uffff]*(?:\([^) \t\n\v\f\r]*\)?)?/;
const WORD = /[\w\u0080-\uffff][\w$\u0080-\uffff]*/;
const SYMBOL = /[^]/;
const TOKEN = new RegExp([SPACE, QUOTED, PARAMETER, WORD, SYMBOL].map(({ source }) => source).join('|'), 'y');

/** A text with a `?` for each of its parameters, and the numbers of their values in the order of the text. */
export interface PlainParameters {
  readonly text: string;
  readonly numbers: readonly number[];
}

/** Gives every parameter of a statement the one form that every binding knows; nothing else of the text changes. */
export function plainParameters(sql: string): PlainParameters {
  const outline = new Outline();
  const numbers: number[] = [];
  let text = '';
  let copied = 0;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < sql.length) {
    const start = TOKEN.lastIndex;
    TOKEN.test(sql);
    const token = tokenAt(sql, start, TOKEN.lastIndex);
    const number = token === undefined ? undefined : outline.number(token);
    if (number === undefined) continue;
    numbers.push(number);
    text += `${sql.slice(copied, start)}?`;
    copied = TOKEN.lastIndex;
  }
  return { text: text + sql.slice(copied), numbers };
}

/** Splits a text at its semicolons and describes each statement. */
function read(sql: string): Statement[] {
  // node-sqlite3 ends the process when it is given anything but a string, and cuts the text at a NUL.
  if (typeof sql !== 'string') {
    throw new InvalidArgumentError(`SQL must be a string, not ${kindOf(sql)}.`);
  }
  if (sql.includes('\0')) throw new InvalidArgumentError('The SQL text has a NUL character in it.');
  const statements: Statement[] = [];
  let outline = new Outline();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < sql.length) {
    const start = TOKEN.lastIndex;
    TOKEN.test(sql);
    const token = tokenAt(sql, start, TOKEN.lastIndex);
    if (token === undefined) continue;
    if (token !== ';' || outline.isInsideTrigger) outline.add(token, start, TOKEN.lastIndex);
    else {
      if (outline.head.length > 0) statements.push(describe(sql, outline));
      outline = new Outline();
    }
  }
  if (outline.head.length > 0) statements.push(describe(sql, outline));
  return statements;
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

/** Names that matter are shorter; what is longer is not copied. */
const LONGEST_NAME = 32;

/** Words in capitals, quoted text in capitals and double quotes, the rest as it stands; nothing for space. */
function tokenAt(sql: string, start: number, end: number): string | undefined {
  const length = end - start;
  const first = sql.charAt(start);
  switch (first) {
    case ' ':
    case '\t':
    case '\n':
    case '\f':
    case '\r':
    case '\ufeff':
      return undefined;
    case '-':
    case '/':
      return length > 1 ? undefined : first;
    case "'":
    case '"':
    case '`':
    case '[':
      return length > LONGEST_NAME ? '""' : `"${capitals(sql.slice(start + 1, end - 1))}"`;
    case '?':
    case ':':
    case '@':
    case '$':
    case '#':
      return sql.slice(start, end);
    default:
      return length === 1 ? capitals(first) : length > LONGEST_NAME ? '""' : capitals(sql.slice(start, end));
  }
}

/** Only those of ASCII, as in SQLite: elsewhere the capital of another letter can be an "I" or an "S". */
function capitals(text: string): string {
  return /[\u0080-\uffff]/.test(text) ? text : text.toUpperCase();
}

/** Tokens that say something of a statement wherever they stand in it. */
const TELLING = new Set([
  'RETURNING',
  'TO',
  '=',
  '(',
  // They are looked for by name because a SELECT that calls them writes: https://www.sqlite.org/fts3.html#optimize
  'OPTIMIZE',
  '"OPTIMIZE"',
  'PRAGMA_OPTIMIZE',
  '"PRAGMA_OPTIMIZE"',
  // Functions that give their connection new functions, or tokenizers: https://www.sqlite.org/lang_corefunc.html#load_extension
  'LOAD_EXTENSION',
  '"LOAD_EXTENSION"',
  'FTS3_TOKENIZER',
  '"FTS3_TOKENIZER"',
]);
const VERBS = new Set(['SELECT', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE']);

/** SQLite's own limit; a `?999999` in a text must not become an array of that length. */
const MOST_PARAMETERS = 32_766;

/** What is kept of a statement while it is read: what tells its nature, so that a long text takes no memory. */
class Outline {
  start = 0;
  end = 0;
  /** The first tokens, as many as `EXPLAIN QUERY PLAN PRAGMA main.user_version` has. */
  readonly head: string[] = [];
  /** Those of {@link TELLING} that stand in it. */
  readonly has = new Set<string>();
  /** Whether something in it is qualified with the schema "temp". */
  namesTemporary = false;
  /** The verb after the list of common table expressions: the first that follows a closing parenthesis. */
  mainVerb: string | undefined;
  /** The last SELECT or VALUES outside parentheses. */
  lastQuery: string | undefined;
  /** Whether it has a LIMIT outside parentheses. */
  limited = false;
  readonly parameters: (string | undefined)[] = [];
  readonly #indexOf = new Map<string, number>();
  #depth = 0;
  #last = '';
  #lastButOne = '';

  /** The first tokens without `EXPLAIN QUERY PLAN`. */
  get explained(): readonly string[] {
    if (this.head[0] !== 'EXPLAIN') return this.head;
    return this.head.slice(this.head[1] === 'QUERY' ? 3 : 1);
  }

  /** The body of a trigger has semicolons and ends with `; END`: https://www.sqlite.org/c3ref/complete.html */
  get isInsideTrigger(): boolean {
    const [create, second, third] = this.explained;
    const name = second === 'TEMP' || second === 'TEMPORARY' ? third : second;
    if (create !== 'CREATE' || name !== 'TRIGGER') return false;
    return this.#last !== 'END' || this.#lastButOne !== ';';
  }

  add(token: string, start: number, end: number): void {
    if (this.head.length === 0) this.start = start;
    this.end = end;
    if (this.head.length < 8) this.head.push(token);
    if (TELLING.has(token)) this.has.add(token);
    if (token === '.' && (this.#last === 'TEMP' || this.#last === '"TEMP"')) this.namesTemporary = true;
    if (token === ')') this.#depth -= 1;
    if (this.#depth === 0) this.#addOutside(token);
    if (token === '(') this.#depth += 1;
    this.number(token);
    this.#lastButOne = this.#last;
    this.#last = token;
  }

  #addOutside(token: string): void {
    if (token === 'LIMIT') this.limited = true;
    if (token === 'SELECT' || token === 'VALUES') this.lastQuery = token;
    if (this.#last === ')' && VERBS.has(token)) this.mainVerb ??= token;
  }

  /** The number of a parameter, `undefined` for any other token: https://www.sqlite.org/lang_expr.html#varparam */
  number(token: string): number | undefined {
    if (token.length > 1 ? !/^[:@$#?]/.test(token) : token !== '?') return undefined;
    const numbered = token.startsWith('?');
    const given = numbered && token !== '?' ? Number(token.slice(1)) : this.#indexOf.get(token);
    const index = given ?? this.parameters.length + 1;
    if (index < 1 || index > MOST_PARAMETERS) {
      throw new InvalidArgumentError(
        `A statement has at most ${String(MOST_PARAMETERS)} parameters, numbered from 1.`,
      );
    }
    while (this.parameters.length < index) this.parameters.push(undefined);
    if (numbered) return index;
    this.#indexOf.set(token, index);
    this.parameters[index - 1] = token.slice(1);
    return index;
  }
}

/** A statement's nature, apart from its text and parameters. */
type Nature = Pick<Statement, 'control' | 'readonly' | 'returnsRows' | 'effect' | 'taints'>;

const READ: Nature = { control: 'none', readonly: true, returnsRows: true, effect: 'none', taints: false };
const WRITE: Nature = {
  control: 'none',
  readonly: false,
  returnsRows: false,
  effect: 'none',
  taints: false,
};
const UNKNOWN: Nature = {
  control: 'none',
  readonly: false,
  returnsRows: true,
  effect: 'insert',
  taints: true,
};

function describe(sql: string, outline: Outline): Statement {
  const text = sql.slice(outline.start, outline.end);
  const { parameters } = outline;
  const statement = { sql: text, ...natureOf(outline), parameters };
  return {
    ...statement,
    firstRow: takesLimit(outline) ? { ...statement, sql: `${text} LIMIT 1` } : statement,
  };
}

function natureOf(outline: Outline): Nature {
  const { head, has, mainVerb, namesTemporary } = outline;
  switch (head[0]) {
    case 'SELECT':
    case 'VALUES':
      return query(outline);
    case 'EXPLAIN':
      // Some PRAGMAs take effect when they are prepared, explained or not: https://www.sqlite.org/pragma.html
      return outline.explained[0] === 'PRAGMA' ? { ...pragma(outline), returnsRows: true } : READ;
    case 'WITH':
      return mainVerb === 'SELECT' || mainVerb === 'VALUES' ? query(outline) : change(mainVerb, outline);
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
    case 'REPLACE':
      return change(head[0], outline);
    case 'CREATE':
      return { ...WRITE, taints: head[1] === 'TEMP' || head[1] === 'TEMPORARY' || namesTemporary };
    case 'ANALYZE':
      // Alone it leaves the schema "temp" out.
      return { ...WRITE, taints: head[1] === 'TEMP' || head[1] === '"TEMP"' || namesTemporary };
    case 'DROP':
    case 'ALTER':
    case 'REINDEX':
      return { ...WRITE, taints: namesTemporary };
    case 'VACUUM':
      return WRITE;
    case 'BEGIN': {
      const locks = head[1] === 'IMMEDIATE' || head[1] === 'EXCLUSIVE';
      return { ...READ, control: 'begin', readonly: !locks, returnsRows: false };
    }
    case 'COMMIT':
    case 'END':
      return { ...READ, control: 'commit', returnsRows: false };
    case 'ROLLBACK':
      return { ...READ, control: has.has('TO') ? 'rollback-to' : 'rollback', returnsRows: false };
    case 'SAVEPOINT':
      return { ...READ, control: 'savepoint', returnsRows: false };
    case 'RELEASE':
      return { ...READ, control: 'release', returnsRows: false };
    case 'ATTACH':
    case 'DETACH':
      return { ...READ, returnsRows: false, taints: true };
    case 'PRAGMA':
      return pragma(outline);
    default:
      return UNKNOWN;
  }
}

/** A SELECT reads, unless it calls for the work of `PRAGMA optimize` or of a full-text index's `optimize`. */
function query({ has }: Outline): Nature {
  const writes = [...has].some((token) => token.includes('OPTIMIZE'));
  return { ...READ, readonly: !writes, taints: extendsConnection(has) };
}

/** A temporary table that it changes may be one that every connection has from `onConnect`, and then has other rows than the others. */
function change(verb: string | undefined, { has, namesTemporary }: Outline): Nature {
  const effect = verb === 'UPDATE' || verb === 'DELETE' ? 'change' : 'insert';
  const taints = namesTemporary || extendsConnection(has);
  return { ...WRITE, effect, returnsRows: has.has('RETURNING'), taints };
}

function extendsConnection(has: ReadonlySet<string>): boolean {
  return [...has].some((token) => token.includes('LOAD_EXTENSION') || token.includes('FTS3_TOKENIZER'));
}

// https://www.sqlite.org/pragma.html: those that take an argument only to say what to show …
const SHOWING = new Set([
  'TABLE_INFO',
  'TABLE_XINFO',
  'TABLE_LIST',
  'INDEX_LIST',
  'INDEX_INFO',
  'INDEX_XINFO',
  'FOREIGN_KEY_LIST',
  'FOREIGN_KEY_CHECK',
  'INTEGRITY_CHECK',
  'QUICK_CHECK',
]);
// … and those that change the file and nothing of the connection, some of them without an argument.
const FILE_CHANGING = new Set([
  'USER_VERSION',
  'APPLICATION_ID',
  'WAL_CHECKPOINT',
  'OPTIMIZE',
  'INCREMENTAL_VACUUM',
]);

function pragma({ explained, has, namesTemporary }: Outline): Nature {
  const name = (explained[2] === '.' ? explained[3] : explained[1])?.replaceAll('"', '');
  const hasArgument = has.has('=') || has.has('(');
  if (name === undefined || SHOWING.has(name)) return READ;
  if (FILE_CHANGING.has(name)) return { ...WRITE, returnsRows: true, taints: namesTemporary };
  return hasArgument ? { ...UNKNOWN, effect: 'none' } : READ;
}

/** `LIMIT` can follow a SELECT that has none; it cannot follow VALUES, PRAGMA or EXPLAIN. */
function takesLimit({ head, mainVerb, limited, lastQuery }: Outline): boolean {
  const selects = head[0] === 'SELECT' || (head[0] === 'WITH' && mainVerb === 'SELECT');
  return selects && !limited && lastQuery === 'SELECT';
}
