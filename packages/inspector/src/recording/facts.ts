import type { InspectedPool } from '../options.ts';
import type { Facts } from '../state.ts';

/** Each PRAGMA of the page, and the column of its table-valued function. */
const PRAGMAS: Readonly<Record<string, string>> = {
  journal_mode: 'journal_mode',
  synchronous: 'synchronous',
  foreign_keys: 'foreign_keys',
  busy_timeout: 'timeout',
  cache_size: 'cache_size',
  page_size: 'page_size',
  page_count: 'page_count',
  freelist_count: 'freelist_count',
  auto_vacuum: 'auto_vacuum',
  temp_store: 'temp_store',
  encoding: 'encoding',
  user_version: 'user_version',
};

/**
 * One statement that only reads. The pool would close a connection after a PRAGMA statement; a function of
 * https://www.sqlite.org/pragma.html#pragfunc changes nothing.
 */
export const FACTS_SQL: string = [
  'SELECT sqlite_version() AS sqlite',
  ...Object.entries(PRAGMAS).map(([name, column]) => `(SELECT ${column} FROM pragma_${name}) AS ${name}`),
].join(', ');

const TIMEOUT_MS = 1000;
const FRESH_FOR_MS = 30_000;

/** What the numbers of some PRAGMAs mean. */
const MEANINGS: Readonly<Record<string, readonly string[]>> = {
  synchronous: ['off', 'normal', 'full', 'extra'],
  foreign_keys: ['off', 'on'],
  auto_vacuum: ['none', 'full', 'incremental'],
  temp_store: ['default', 'file', 'memory'],
};

/** Asks SQLite for its version and PRAGMAs, and never makes anything of the pool wait for that. */
export class FactsReader {
  readonly #pool: InspectedPool;
  readonly #now: () => number;
  #facts: Facts = { sqlite: null, pragmas: [], note: 'Not read yet: no connection has been idle.' };
  #readAt = -Infinity;

  constructor(pool: InspectedPool, now: () => number) {
    this.#pool = pool;
    this.#now = now;
  }

  /** What is known now. Reads anew in the background if that is old and a connection is idle. */
  latest(idle: number): Facts {
    const now = this.#now();
    // The inspector opens no connection, and never waits in the place of a caller.
    if (idle > 0 && now - this.#readAt > FRESH_FOR_MS) {
      this.#readAt = now;
      void this.#read();
    }
    return this.#facts;
  }

  async #read(): Promise<void> {
    try {
      const [row = {}] = await this.#pool.all<Record<string, unknown>>(FACTS_SQL, [], {
        timeoutMs: TIMEOUT_MS,
      });
      const { sqlite, ...pragmas } = row;
      const shown = Object.entries(pragmas).map(([name, value]) => [name, meaning(name, value)] as const);
      this.#facts = { sqlite: String(sqlite), pragmas: shown, note: null };
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error without a code';
      this.#facts = { ...this.#facts, note: `The pool could not read them: ${code}.` };
    }
  }
}

function meaning(name: string, value: unknown): string {
  return MEANINGS[name]?.[Number(value)] ?? String(value);
}
