/**
 * The longest summary, in characters: https://opentelemetry.io/docs/specs/semconv/db/database-spans/
 */
const LONGEST = 255;

/** How much of a text is read, in characters. What a statement does stands at its beginning, before its values. */
const MOST_READ = 8192;

/**
 * The words of a text that say what it does, in the order in which they may come. Strings and comments are no words. No
 * alternative can fail after it has read far, so the time is linear for every text.
 */
const WORDS =
  /--[^\n]*|\/\*[^]*?(?:\*\/|$)|'[^']*(?:'|$)|"((?:[^"]|"")*)(?:"|$)|`((?:[^`]|``)*)(?:`|$)|\[([^\]]*)(?:\]|$)|([\p{L}_][\p{L}\p{N}_$]*)|[.()]/gu;

/** After these words comes the name of a table. */
const BEFORE_TABLE: ReadonlySet<string> = new Set([
  'FROM',
  'INTO',
  'JOIN',
  'UPDATE',
  'TABLE',
  'VIEW',
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
/** After these, such a word means something else: `ON CONFLICT DO UPDATE SET`, `ON UPDATE CASCADE`, `IS DISTINCT FROM`. */
const NOT_BEFORE: ReadonlySet<string> = new Set(['DO', 'ON', 'DISTINCT']);
/** What comes after INTO is the path of a file. */
const WITHOUT_TABLES: ReadonlySet<string> = new Set(['VACUUM', 'ATTACH']);
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
  // A text that is built anew for each call may be long, and would fill the memory.
  if (sql.length > MOST_READ) return summarize(sql.slice(0, MOST_READ));
  const before = known.get(sql);
  if (before !== undefined) return before;
  const summary = summarize(sql);
  if (known.size >= MOST_KNOWN) known.clear();
  known.set(sql, summary);
  return summary;
}

function summarize(sql: string): string {
  const words = wordsOf(sql);
  const first = words[0]?.isName === false ? words[0].text.toUpperCase() : '';
  // A WITH clause stands before the word that says what is done, and has its own in parentheses.
  const operation =
    first === 'WITH'
      ? (words.find(({ isName, depth, text }) => !isName && depth === 0 && OPERATIONS.has(text.toUpperCase()))
          ?.text ?? first)
      : first;
  return [operation.toUpperCase(), ...new Set(tablesOf(first, words))].join(' ').slice(0, LONGEST);
}

interface Word {
  readonly text: string;
  /** Whether it is quoted, and so no keyword. */
  readonly isName: boolean;
  /** How many parentheses it is in. */
  readonly depth: number;
}

function wordsOf(sql: string): Word[] {
  const words: Word[] = [];
  let joins = false;
  let depth = 0;
  for (const match of sql.matchAll(WORDS)) {
    const [all, quoted = match[2] ?? match[3], , , plain] = match;
    if (all === '.') joins = true;
    else if (all === '(') depth += 1;
    else if (all === ')') depth -= 1;
    else if (quoted !== undefined || plain !== undefined) {
      const text = quoted ?? plain ?? '';
      // `main.users` is the table `users`.
      if (joins) words.pop();
      words.push({ text, isName: quoted !== undefined || joins, depth });
      joins = false;
    }
  }
  return words;
}

function tablesOf(first: string, words: readonly Word[]): string[] {
  if (first === 'PRAGMA') return words.slice(1, 2).map(({ text }) => text);
  if (WITHOUT_TABLES.has(first)) return [];
  const tables: string[] = [];
  let expects = false;
  let before = '';
  for (const { text, isName } of words) {
    const word = isName ? '' : text.toUpperCase();
    // An index or a trigger is ON a table. A JOIN is ON a condition.
    if ((BEFORE_TABLE.has(word) && !NOT_BEFORE.has(before)) || (word === 'ON' && first === 'CREATE'))
      expects = true;
    else if (expects && !BETWEEN.has(word)) {
      expects = false;
      if (!OPERATIONS.has(word)) tables.push(text);
    }
    before = word;
  }
  return tables;
}
