import { InvalidArgumentError } from './errors.ts';

/**
 * What kind of statement a text is. The driver does not say whether a statement writes, so the pool reads the text:
 * far enough to know what it must take care of, never to change its meaning. When in doubt a statement counts as one
 * that writes, returns rows and leaves something behind: that costs time, never correctness.
 */

/** How a statement moves its connection between autocommit and a transaction. */
export type TransactionControl = 'none' | 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollback-to';

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
  readonly dirties: boolean;
  /** Parameters by index: a name, or `undefined` for a `?`. https://www.sqlite.org/lang_expr.html#varparam */
  readonly parameters: readonly (string | undefined)[];
  /** What to run when only the first row is wanted: the same with `LIMIT 1`, or itself if that cannot be added. */
  readonly firstRow: Omit<Statement, 'firstRow'>;
}

interface Token {
  readonly type: 'word' | 'parameter' | 'other';
  /** Words in capitals, parameters and symbols as they stand; empty for quoted text. */
  readonly text: string;
  /** How many parentheses are open around it. */
  readonly depth: number;
  readonly start: number;
  readonly end: number;
}

/** Texts that were read already. Applications have few; one that builds its texts must not fill the memory. */
const known = new Map<string, Statement>();
const MOST_KNOWN = 1000;
const LONGEST_KNOWN = 65_536;

/** Reads a text that must hold exactly one statement. */
export function parse(sql: string): Statement {
  const seen = known.get(sql);
  if (seen !== undefined) return seen;

  const [statement, second] = parseScript(sql);
  if (statement === undefined) throw new InvalidArgumentError('The SQL text has no statement in it.');
  if (second !== undefined) {
    throw new InvalidArgumentError('The SQL text has more than one statement. Use script(), which takes no parameters.');
  }
  if (sql.length <= LONGEST_KNOWN) {
    if (known.size >= MOST_KNOWN) for (const oldest of known.keys()) { known.delete(oldest); break; }
    known.set(sql, statement);
  }
  return statement;
}

/** Reads every statement of a text. */
export function parseScript(sql: string): Statement[] {
  // node-sqlite3 ends the process when it is given anything but a string, and cuts the text at a NUL.
  if (typeof sql !== 'string') throw new InvalidArgumentError(`SQL must be a string, not ${typeOf(sql)}.`);
  if (sql.includes('\0')) throw new InvalidArgumentError('The SQL text has a NUL character in it.');
  return split(tokenize(sql)).map((tokens) => describe(sql, tokens));
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

// One alternative per kind of token, as in https://www.sqlite.org/src/file/src/tokenize.c. A doubled quote inside a
// string makes two tokens of it, which is all the same here. No alternative backtracks, however long the text.
const SPACE = /(?<space>\s+|--[^\n]*|\/\*[^]*?(?:\*\/|$))/;
const QUOTED = /(?<quoted>'[^']*(?:'|$)|"[^"]*(?:"|$)|`[^`]*(?:`|$)|\[[^\]]*(?:\]|$))/;
const PARAMETER = /(?<parameter>\?\d*|[:@$#][\w$\u0080-\uffff]+)/;
const WORD = /(?<word>[\w\u0080-\uffff][\w$\u0080-\uffff]*)/;
const SYMBOL = /(?<symbol>[^])/;
const TOKEN = new RegExp([SPACE, QUOTED, PARAMETER, WORD, SYMBOL].map(({ source }) => source).join('|'), 'gy');

function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  for (const match of sql.matchAll(TOKEN)) {
    const { space, parameter, word, symbol } = match.groups ?? {};
    if (space !== undefined) continue;
    if (symbol === ')') depth -= 1;
    const type = word !== undefined ? 'word' : parameter !== undefined ? 'parameter' : 'other';
    const text = word?.toUpperCase() ?? parameter ?? symbol ?? '';
    tokens.push({ type, text, depth, start: match.index, end: match.index + match[0].length });
    if (symbol === '(') depth += 1;
  }
  return tokens;
}

/**
 * Splits at semicolons. The body of a trigger has semicolons of its own and ends with `; END ;`, the rule of
 * https://www.sqlite.org/c3ref/complete.html
 */
function split(tokens: readonly Token[]): Token[][] {
  const statements: Token[][] = [];
  let current: Token[] = [];
  for (const token of tokens) {
    const ends = token.text === ';' && (!isTrigger(current) || endsTrigger(current));
    if (!ends) current.push(token);
    else if (current.length > 0) {
      statements.push(current);
      current = [];
    }
  }
  if (current.length > 0) statements.push(current);
  return statements;
}

function isTrigger(tokens: readonly Token[]): boolean {
  const start = tokens[0]?.text === 'EXPLAIN' ? tokens.findIndex(({ text }) => text === 'CREATE') : 0;
  const [create, second, third] = tokens.slice(start).map(({ text }) => text);
  if (create !== 'CREATE') return false;
  return second === 'TRIGGER' || ((second === 'TEMP' || second === 'TEMPORARY') && third === 'TRIGGER');
}

function endsTrigger(tokens: readonly Token[]): boolean {
  return tokens.at(-1)?.text === 'END' && tokens.at(-2)?.text === ';';
}

/** A statement's nature, apart from its text and parameters. */
type Nature = Pick<Statement, 'control' | 'readonly' | 'returnsRows' | 'effect' | 'dirties'>;

const READ: Nature = { control: 'none', readonly: true, returnsRows: true, effect: 'none', dirties: false };
const WRITE: Nature = { control: 'none', readonly: false, returnsRows: false, effect: 'none', dirties: false };
const UNKNOWN: Nature = { control: 'none', readonly: false, returnsRows: true, effect: 'insert', dirties: true };

function describe(sql: string, tokens: readonly Token[]): Statement {
  const text = sql.slice(tokens[0]?.start, tokens.at(-1)?.end);
  const statement = { sql: text, ...natureOf(tokens), parameters: parametersOf(tokens) };
  return { ...statement, firstRow: takesLimit(tokens) ? { ...statement, sql: `${text} LIMIT 1` } : statement };
}

function natureOf(tokens: readonly Token[]): Nature {
  const words = tokens.map(({ text }) => text);
  switch (words[0]) {
    case 'SELECT':
    case 'VALUES':
    case 'EXPLAIN':
      return READ;
    case 'WITH':
      return mainVerb(tokens) === 'SELECT' || mainVerb(tokens) === 'VALUES' ? READ : change(mainVerb(tokens), words);
    case 'INSERT':
    case 'UPDATE':
    case 'DELETE':
    case 'REPLACE':
      return change(words[0], words);
    case 'CREATE':
      return { ...WRITE, dirties: createsTemporary(words) };
    case 'DROP':
    case 'ALTER':
    case 'REINDEX':
    case 'ANALYZE':
    case 'VACUUM':
      return WRITE;
    case 'BEGIN': {
      const locks = words[1] === 'IMMEDIATE' || words[1] === 'EXCLUSIVE';
      return { ...READ, control: 'begin', readonly: !locks, returnsRows: false };
    }
    case 'COMMIT':
    case 'END':
      return { ...READ, control: 'commit', returnsRows: false };
    case 'ROLLBACK':
      return { ...READ, control: words.includes('TO') ? 'rollback-to' : 'rollback', returnsRows: false };
    case 'SAVEPOINT':
      return { ...READ, control: 'savepoint', returnsRows: false };
    case 'RELEASE':
      return { ...READ, control: 'release', returnsRows: false };
    case 'ATTACH':
    case 'DETACH':
      return { ...READ, returnsRows: false, dirties: true };
    case 'PRAGMA':
      return pragma(words);
    default:
      return UNKNOWN;
  }
}

function change(verb: string | undefined, words: readonly string[]): Nature {
  const effect = verb === 'UPDATE' || verb === 'DELETE' ? 'change' : 'insert';
  return { ...WRITE, effect, returnsRows: words.includes('RETURNING') };
}

/** The verb after the list of common table expressions: the first that follows a closing parenthesis. */
function mainVerb(tokens: readonly Token[]): string | undefined {
  const verbs = ['SELECT', 'VALUES', 'INSERT', 'UPDATE', 'DELETE', 'REPLACE'];
  return tokens.find(({ text, depth }, at) => depth === 0 && verbs.includes(text) && tokens[at - 1]?.text === ')')?.text;
}

function createsTemporary(words: readonly string[]): boolean {
  return words[1] === 'TEMP' || words[1] === 'TEMPORARY' || words.some((word, at) => word === 'TEMP' && words[at + 1] === '.');
}

// https://www.sqlite.org/pragma.html: those that take an argument only to say what to show …
const SHOWING = new Set([
  'TABLE_INFO', 'TABLE_XINFO', 'TABLE_LIST', 'INDEX_LIST', 'INDEX_INFO', 'INDEX_XINFO', 'FOREIGN_KEY_LIST',
  'FOREIGN_KEY_CHECK', 'INTEGRITY_CHECK', 'QUICK_CHECK',
]);
// … and those that change the file and nothing of the connection, some of them without an argument.
const FILE_CHANGING = new Set(['USER_VERSION', 'APPLICATION_ID', 'WAL_CHECKPOINT', 'OPTIMIZE', 'INCREMENTAL_VACUUM']);

function pragma(words: readonly string[]): Nature {
  const name = words[2] === '.' ? words[3] : words[1];
  const hasArgument = words.includes('=') || words.includes('(');
  if (name === undefined || SHOWING.has(name)) return READ;
  if (FILE_CHANGING.has(name)) return { ...WRITE, returnsRows: true };
  return hasArgument ? { ...UNKNOWN, effect: 'none' } : READ;
}

/** `LIMIT` can follow a SELECT that has none; it cannot follow VALUES, PRAGMA or EXPLAIN. */
function takesLimit(tokens: readonly Token[]): boolean {
  const outer = tokens.filter(({ depth, type }) => depth === 0 && type === 'word').map(({ text }) => text);
  if (outer[0] !== 'SELECT' && (outer[0] !== 'WITH' || mainVerb(tokens) !== 'SELECT')) return false;
  return !outer.includes('LIMIT') && outer.lastIndexOf('SELECT') > outer.lastIndexOf('VALUES');
}

/** SQLite's own limit; a `?999999` in a text must not become an array of that length. */
const MOST_PARAMETERS = 32_766;

function parametersOf(tokens: readonly Token[]): (string | undefined)[] {
  const parameters: (string | undefined)[] = [];
  const indexOf = new Map<string, number>();
  for (const { type, text } of tokens) {
    if (type !== 'parameter') continue;
    const number = text.startsWith('?') ? (text === '?' ? parameters.length + 1 : Number(text.slice(1))) : indexOf.get(text);
    const index = number ?? parameters.length + 1;
    if (index < 1 || index > MOST_PARAMETERS) {
      throw new InvalidArgumentError(`A parameter number must be from 1 to ${String(MOST_PARAMETERS)}.`);
    }
    while (parameters.length < index) parameters.push(undefined);
    if (!text.startsWith('?')) {
      indexOf.set(text, index);
      parameters[index - 1] = text.slice(1);
    }
  }
  return parameters;
}
