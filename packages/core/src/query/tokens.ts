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

/** Calls `use` with each token of a text but space, and with the positions at which the token begins and ends. */
export function eachToken(sql: string, use: (token: string, start: number, end: number) => void): void {
  for (let end = 0; end < sql.length;) {
    const start = end;
    TOKEN.lastIndex = start;
    TOKEN.test(sql);
    end = TOKEN.lastIndex;
    const token = tokenAt(sql, start, end);
    if (token !== undefined) use(token, start, end);
  }
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
