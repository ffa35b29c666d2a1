import { ParameterNumbers } from './placeholders.ts';

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

/** What the reader keeps of a statement. It keeps only what decides the kind, so that a long text takes no memory. */
export class Outline {
  start = 0;
  end = 0;
  /** The first tokens, as many as in `EXPLAIN QUERY PLAN PRAGMA main.user_version`. */
  readonly head: string[] = [];
  /** The tokens of {@link TELLING} that occur in the statement. */
  readonly has: Set<string> = new Set<string>();
  /** Whether the statement qualifies a name with the schema "temp". */
  namesTemporary = false;
  /** The verb after the list of common table expressions: the first verb that follows a closing parenthesis. */
  mainVerb: string | undefined;
  /** The last SELECT or VALUES outside parentheses. */
  lastQuery: string | undefined;
  /** Whether the statement has a LIMIT outside parentheses. */
  limited = false;
  readonly parameters: ParameterNumbers = new ParameterNumbers();
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
    this.parameters.of(token);
    this.#lastButOne = this.#last;
    this.#last = token;
  }

  #addOutside(token: string): void {
    if (token === 'LIMIT') this.limited = true;
    if (token === 'SELECT' || token === 'VALUES') this.lastQuery = token;
    if (this.#last === ')' && VERBS.has(token)) this.mainVerb ??= token;
  }
}
