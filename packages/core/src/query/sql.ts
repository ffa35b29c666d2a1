import { InvalidArgumentError } from '../errors.ts';

/**
 * Finds out what kind of statement a text is, because the driver does not say whether a statement writes. The pool
 * reads the text only as far as it must, and never changes its meaning. When in doubt, it assumes that a statement
 * writes, returns rows and leaves state behind: that costs time, never correctness.
 */

/** How a statement moves its connection between autocommit and a transaction. */
export type TransactionControl =
  'none' | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to';

/** One statement, as far as the pool needs to know it. */
export interface Statement {
  readonly sql: string;
  readonly control: TransactionControl;
  /** Whether the statement takes no write lock of SQLite. Then it does not need the pool's write lock either. */
  readonly readonly: boolean;
  /** Whether it may return rows. `INSERT … RETURNING` does. */
  readonly returnsRows: boolean;
  /** How it changes rows. Unless it is `none`, the counts of a result belong to this statement. */
  readonly effect: 'insert' | 'change' | 'none';
  /** Whether it leaves state on the connection (TEMP, ATTACH, PRAGMA) that the next user must not see. */
  readonly taints: boolean;
  /** The parameters by index: a name, or `undefined` for a `?`. https://www.sqlite.org/lang_expr.html#varparam */
  readonly parameters: readonly (string | undefined)[];
  /**
   * The statement to run when the caller wants only the first row: the text with `LIMIT 1`, or itself if that is not
   * possible.
   */
  readonly firstRow: Omit<Statement, 'firstRow'>;
}

/** A cache of parsed texts. Applications have few texts; one that builds its texts must not fill the memory. */
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

/** Reads every statement of a script. The script must have no parameters, because SQLite would bind NULL to each. */
export function parseScript(sql: string): Statement[] {
  const statements = read(sql);
  const at = statements.findIndex(({ parameters }) => parameters.length > 0);
  if (at === -1) return statements;
  throw new InvalidArgumentError(
    `Statement ${String(at + 1)} of the script has a parameter, and a script takes none. Use run() for it, in a transaction().`,
  );
}

/** Whether a script is atomic: it has one statement, or one transaction from its first statement to its last. */
export function isAllOrNothing(statements: readonly Pick<Statement, 'control'>[]): boolean {
  const [first, ...others] = statements.map(({ control }) => control);
  const last = others.pop();
  if (last === undefined) return true;
  // A RELEASE of the outermost savepoint commits: https://www.sqlite.org/lang_savepoint.html
  const begins = first === 'begin' || (first === 'savepoint' && !others.includes('release'));
  return begins && last === 'commit' && !others.some((control) => ENDS_TRANSACTION.has(control));
}

const ENDS_TRANSACTION: ReadonlySet<TransactionControl> = new Set(['commit', 'rollback']);

/** Whether a script needs the write lock. */
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
// string makes two tokens of the string, which makes no difference here. No alternative can fail after it has read far.
// So the time is linear for every text.
const SPACE = /[ \t\n\f\r][ \t\n\v\f\r]*|\ufeff|--[^\n]*|\/\*[^]*?(?:\*\/|$)/;
const QUOTED = /'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$)/;
// After any of its four signs, SQLite accepts a Tcl variable name: `$a::b(c)`.
const PARAMETER = /\?\d*|[:@$#][\w$:\u0080-\uffff]*(?:\([^) \t\n\v\f\r]*\)?)?/;
const WORD = /[\w\u0080-\uffff][\w$\u0080-\uffff]*/;
const SYMBOL = /[^]/;
const TOKEN = new RegExp([SPACE, QUOTED, PARAMETER, WORD, SYMBOL].map(({ source }) => source).join('|'), 'y');

/** A text with a `?` for each parameter, and the numbers of the parameters in the order of the text. */
export interface PlainParameters {
  readonly text: string;
  readonly numbers: readonly number[];
}

/** Replaces every parameter by a `?`, the form that every native binding knows. Changes nothing else of the text. */
export function plainParameters(sql: string): PlainParameters {
  const numbers: number[] = [];
  const text = replaceParameters(sql, (number) => {
    numbers.push(number);
    return '?';
  });
  return { text, numbers };
}

/** The text of a statement with its parameters written by their numbers: `?1` for `:id`. */
export function numberedParameters(
  sql: string,
  form: (number: number) => string = (number) => `?${String(number)}`,
): string {
  return replaceParameters(sql, form);
}

function replaceParameters(sql: string, form: (number: number) => string): string {
  const outline = new Outline();
  let text = '';
  let copied = 0;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < sql.length) {
    const start = TOKEN.lastIndex;
    TOKEN.test(sql);
    const end = TOKEN.lastIndex;
    const token = tokenAt(sql, start, end);
    const number = token === undefined ? undefined : outline.number(token);
    if (number === undefined) continue;
    text += sql.slice(copied, start) + form(number);
    copied = end;
  }
  return text + sql.slice(copied);
}

/** Splits a text at its semicolons and describes each statement. */
function read(sql: string): Statement[] {
  // node-sqlite3 ends the process when it gets anything but a string, and ends the text at a NUL.
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

/** All names that matter are shorter. Longer ones are not copied. */
const LONGEST_NAME = 32;

/**
 * Returns words in capitals, quoted text in capitals and double quotes, other tokens unchanged, and `undefined` for
 * space.
 */
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

/** Converts only ASCII, as SQLite does: outside ASCII, the capital of another letter can be an "I" or an "S". */
function capitals(text: string): string {
  return /[\u0080-\uffff]/.test(text) ? text : text.toUpperCase();
}

/** Tokens that matter wherever they stand in a statement. */
const TELLING = new Set([
  'RETURNING',
  'TO',
  '=',
  '(',
  // A SELECT that calls these functions writes: https://www.sqlite.org/fts3.html#optimize
  'OPTIMIZE',
  '"OPTIMIZE"',
  'PRAGMA_OPTIMIZE',
  '"PRAGMA_OPTIMIZE"',
  // These functions add functions or tokenizers to their connection:
  // https://www.sqlite.org/lang_corefunc.html#load_extension
  'LOAD_EXTENSION',
  '"LOAD_EXTENSION"',
  'FTS3_TOKENIZER',
  '"FTS3_TOKENIZER"',
]);
const VERBS = new Set(['SELECT', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE']);

/** SQLite's own limit. A `?999999` in a text must not become an array of that length. */
const MOST_PARAMETERS = 32_766;

/** What the reader keeps of a statement. It keeps only what decides the kind, so that a long text takes no memory. */
class Outline {
  start = 0;
  end = 0;
  /** The first tokens, as many as in `EXPLAIN QUERY PLAN PRAGMA main.user_version`. */
  readonly head: string[] = [];
  /** The tokens of {@link TELLING} that occur in the statement. */
  readonly has = new Set<string>();
  /** Whether the statement qualifies a name with the schema "temp". */
  namesTemporary = false;
  /** The verb after the list of common table expressions: the first verb that follows a closing parenthesis. */
  mainVerb: string | undefined;
  /** The last SELECT or VALUES outside parentheses. */
  lastQuery: string | undefined;
  /** Whether the statement has a LIMIT outside parentheses. */
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

  /** The body of a trigger contains semicolons and ends with `; END`: https://www.sqlite.org/c3ref/complete.html */
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

  /** The number of a parameter, or `undefined` for any other token: https://www.sqlite.org/lang_expr.html#varparam */
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

/** The kind of a statement, apart from its text and parameters. */
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
      // Some PRAGMAs take effect when they are prepared, even under EXPLAIN: https://www.sqlite.org/pragma.html
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
      // Without a name, ANALYZE leaves out the schema "temp".
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

/** A SELECT reads, unless it calls `PRAGMA optimize` or the `optimize` function of a full-text index. */
function query({ has }: Outline): Nature {
  const writes = [...has].some((token) => token.includes('OPTIMIZE'));
  return { ...READ, readonly: !writes, taints: extendsConnection(has) };
}

/**
 * A change of a temporary table taints: `onConnect` may make that table on every connection, and its rows would then
 * differ.
 */
function change(verb: string | undefined, { has, namesTemporary }: Outline): Nature {
  const effect = verb === 'UPDATE' || verb === 'DELETE' ? 'change' : 'insert';
  const taints = namesTemporary || extendsConnection(has);
  return { ...WRITE, effect, returnsRows: has.has('RETURNING'), taints };
}

function extendsConnection(has: ReadonlySet<string>): boolean {
  return [...has].some((token) => token.includes('LOAD_EXTENSION') || token.includes('FTS3_TOKENIZER'));
}

// https://www.sqlite.org/pragma.html: PRAGMAs whose argument only selects what they show.
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
// PRAGMAs that change the file and not the connection. Some of them take no argument.
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

/** A SELECT without a LIMIT can take one. VALUES, PRAGMA and EXPLAIN cannot. */
function takesLimit({ head, mainVerb, limited, lastQuery }: Outline): boolean {
  const selects = head[0] === 'SELECT' || (head[0] === 'WITH' && mainVerb === 'SELECT');
  return selects && !limited && lastQuery === 'SELECT';
}
