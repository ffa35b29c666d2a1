/**
 * The longest summary, in characters: https://opentelemetry.io/docs/specs/semconv/db/database-spans/
 */
const LONGEST = 255;

/** The words of a text that say what it does, in the order in which they may come. Strings and comments are no words. */
const WORDS =
  /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'(?:[^']|'')*'?|"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\]|([\p{L}_][\p{L}\p{N}_$]*)|\./gu;

/** After these words comes the name of a table. */
const BEFORE_TABLE: ReadonlySet<string> = new Set([
  'FROM',
  'INTO',
  'JOIN',
  'UPDATE',
  'TABLE',
  'VIEW',
  'ON',
  'TRIGGER',
]);
/** These may stand between such a word and the name. */
const BETWEEN: ReadonlySet<string> = new Set([
  'IF',
  'NOT',
  'EXISTS',
  'OR',
  'ABORT',
  'FAIL',
  'IGNORE',
  'REPLACE',
  'ROLLBACK',
]);
const OPERATIONS: ReadonlySet<string> = new Set([
  'SELECT',
  'INSERT',
  'REPLACE',
  'UPDATE',
  'DELETE',
  'VALUES',
]);

const known = new Map<string, string>();
/** How many summaries are remembered. */
const MOST_KNOWN = 1000;

/**
 * What a statement does and to which tables, in a few words without values: `SELECT users`, `INSERT orders`. It is
 * `db.query.summary` of OpenTelemetry's conventions, the name of a span, and a group for statistics: texts that differ
 * only in their conditions share it.
 *
 * @example querySummary('SELECT * FROM users JOIN posts USING (id) WHERE name = ?'); // SELECT users posts
 */
export function querySummary(sql: string): string {
  const before = known.get(sql);
  if (before !== undefined) return before;
  const summary = summarize(sql);
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(sql, summary);
  return summary;
}

function summarize(sql: string): string {
  const words = wordsOf(sql);
  const first = words[0]?.text.toUpperCase() ?? '';
  // A WITH clause stands before the word that says what is done.
  const operation =
    first === 'WITH'
      ? (words.find(({ isName, text }) => !isName && OPERATIONS.has(text.toUpperCase()))?.text ?? first)
      : first;
  const tables = first === 'PRAGMA' ? words.slice(1, 2).map(({ text }) => text) : tablesOf(words);
  return [operation.toUpperCase(), ...new Set(tables)].join(' ').slice(0, LONGEST);
}

interface Word {
  readonly text: string;
  /** Whether it is quoted, and so no keyword. */
  readonly isName: boolean;
}

function wordsOf(sql: string): Word[] {
  const words: Word[] = [];
  let joins = false;
  for (const match of sql.matchAll(WORDS)) {
    const [all, quoted = match[2] ?? match[3], , , plain] = match;
    if (all === '.') joins = true;
    else if (quoted !== undefined || plain !== undefined) {
      const text = quoted ?? plain ?? '';
      // `main.users` is the table `users`.
      if (joins) words.pop();
      words.push({ text, isName: quoted !== undefined || joins });
      joins = false;
    }
  }
  return words;
}

function tablesOf(words: readonly Word[]): string[] {
  const tables: string[] = [];
  let expects = false;
  for (const { text, isName } of words) {
    const word = isName ? '' : text.toUpperCase();
    if (BEFORE_TABLE.has(word)) expects = true;
    else if (expects && !BETWEEN.has(word)) {
      expects = false;
      if (!OPERATIONS.has(word)) tables.push(text);
    }
  }
  return tables;
}
