import { InvalidArgumentError } from '../errors.ts';

/**
 * PRAGMAs by name. `null` keeps SQLite's own default instead of a recommended value. https://www.sqlite.org/pragma.html
 *
 * @example const pragmas: Pragmas = { cache_size: -4096, synchronous: 'FULL', mmap_size: null };
 */
export type Pragmas = Readonly<Record<string, string | number | boolean | null>>;

/**
 * The recommended set, each with its reason. `busy_timeout` is not in it, because each driver has its own.
 *
 * @example const pool = createPool({ filename: 'app.db', pragmas: { ...RECOMMENDED_PRAGMAS, synchronous: 'FULL' } });
 */
export const RECOMMENDED_PRAGMAS: Pragmas = Object.freeze({
  /** Readers and the writer do not block each other: https://www.sqlite.org/wal.html */
  journal_mode: 'WAL',
  /** With WAL: always consistent; durable when the process dies. A power failure may lose the last commits. */
  synchronous: 'NORMAL',
  /** SQLite has foreign keys off by default. */
  foreign_keys: true,
  /** Keeps sorts and temporary indexes in memory instead of in files. */
  temp_store: 'MEMORY',
  /**
   * Negative: in KiB. 4 MiB for each database handle: measurements showed that larger caches are slower. Each
   * connection has a handle, and with the worker drivers each thread has one more: at most 56 MiB for ten connections
   * and four threads.
   */
  cache_size: -4096,
  /**
   * Off. With it, an I/O error, or a file that another program has truncated, ends the process with a signal. Without
   * it, the statement rejects: https://www.sqlite.org/mmap.html
   */
  mmap_size: 0,
});

/** The script that sets the recommended PRAGMAs, overridden by the given ones. */
export function pragmaScript(pragmas: Pragmas | false): string {
  return pragmas === false ? '' : scriptOf({ ...RECOMMENDED_PRAGMAS, ...pragmas });
}

/** The script that sets these PRAGMAs. */
export function scriptOf(pragmas: Readonly<Record<string, unknown>>): string {
  return Object.entries(pragmas)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `PRAGMA ${checkName(name)} = ${checkValue(name, value)};`)
    .join(' ');
}

/** Whether a connection has the busy timeout of its driver, and not one that its user chose. */
export function waitsBriefly(pragmas: Pragmas | false): boolean {
  return pragmas !== false && pragmas['busy_timeout'] === undefined;
}

function checkName(name: string): string {
  if (/^[a-z_]+$/i.test(name)) return name;
  throw new InvalidArgumentError(
    'Option pragmas has a name that is none: names are letters and underscores.',
  );
}

function checkValue(name: string, value: unknown): string {
  if (typeof value === 'boolean') return value ? 'ON' : 'OFF';
  if (typeof value === 'number' && Number.isInteger(value)) return String(value);
  if (typeof value === 'string' && /^[\w-]+$/.test(value)) return value;
  throw new InvalidArgumentError(`Option pragmas.${name} must be a whole number, a boolean, a word or null.`);
}
