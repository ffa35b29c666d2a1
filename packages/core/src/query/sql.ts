import { InvalidArgumentError } from '../errors.ts';
import { kindOf, takesLimit, type Kind, type TransactionControl } from './kind.ts';
import { Outline } from './outline.ts';
import { eachToken } from './tokens.ts';

/**
 * Finds out what kind of statement a text is, because the driver does not say whether a statement writes. The pool
 * reads the text only as far as it must, and never changes its meaning. When in doubt, it assumes that a statement
 * writes, returns rows and leaves state behind: that costs time, never correctness.
 */

/** One statement, as far as the pool needs to know it. */
export interface Statement extends Kind {
  /** The text to run. */
  readonly sql: string;
  /** The text as the caller wrote it: for errors and events. */
  readonly written: string;
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

function remember(sql: string, statement: Statement): void {
  known.set(sql, statement);
  knownText += sql.length;
  for (const oldest of known.keys()) {
    if (known.size <= MOST_KNOWN && knownText <= MOST_KNOWN_TEXT) break;
    known.delete(oldest);
    knownText -= oldest.length;
  }
}

/** Splits a text at its semicolons and describes each statement. */
function read(sql: string): Statement[] {
  // node-sqlite3 ends the process when it gets anything but a string, and ends the text at a NUL.
  if (typeof sql !== 'string') {
    throw new InvalidArgumentError(`SQL must be a string, not ${typeName(sql)}.`);
  }
  if (sql.includes('\0')) throw new InvalidArgumentError('The SQL text has a NUL character in it.');
  const statements: Statement[] = [];
  let outline = new Outline();
  const end = (): void => {
    if (outline.head.length > 0) statements.push(describe(sql, outline));
    outline = new Outline();
  };
  eachToken(sql, (token, start, stop) => {
    if (token === ';' && !outline.isInsideTrigger) end();
    else outline.add(token, start, stop);
  });
  end();
  return statements;
}

function typeName(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function describe(sql: string, outline: Outline): Statement {
  const text = sql.slice(outline.start, outline.end);
  const statement = { sql: text, written: sql, ...kindOf(outline), parameters: outline.parameters.names };
  return {
    ...statement,
    firstRow: takesLimit(outline) ? { ...statement, sql: `${text} LIMIT 1` } : statement,
  };
}
