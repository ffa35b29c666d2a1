import { InvalidArgumentError } from '../errors.ts';

/**
 * PRAGMAs by name. `null` keeps SQLite's own default instead of a recommended value. https://www.sqlite.org/pragma.html
 *
 * @example const pragmas: Pragmas = { cache_size: -4096, synchronous: 'FULL', mmap_size: null };
 */
export type Pragmas = Readonly<Record<string, string | number | boolean | null>>;

/** How long SQLite itself waits for the lock of another process, in milliseconds: see `busy_timeout` below. */
export const SHORT_BUSY_TIMEOUT_MS = 20;

/**
 * The recommended set, each with its reason. Every connection has its own cache, so `poolSize` × `cache_size` limits
 * the memory: 40 MiB for ten connections.
 *
 * @example const pool = createPool({ filename: 'app.db', pragmas: { ...RECOMMENDED_PRAGMAS, synchronous: 'FULL' } });
 */
export const RECOMMENDED_PRAGMAS: Pragmas = Object.freeze({
  /**
   * How long one try sleeps in its thread of libuv, in milliseconds, while another process holds the lock. Short,
   * because the pool tries again, and waits in JavaScript for that.
   */
  busy_timeout: SHORT_BUSY_TIMEOUT_MS,
  /** Readers and the writer do not block each other: https://www.sqlite.org/wal.html */
  journal_mode: 'WAL',
  /** With WAL: always consistent; durable when the process dies. A power failure may lose the last commits. */
  synchronous: 'NORMAL',
  /** SQLite has foreign keys off by default. */
  foreign_keys: true,
  /** Keeps sorts and temporary indexes in memory instead of in files. */
  temp_store: 'MEMORY',
  /**
   * Negative: in KiB. 4 MiB per connection: measurements showed that larger caches are slower, and each connection
   * takes the memory.
   */
  cache_size: -4096,
  /**
   * Off. With it, an I/O error, or a file that another program has truncated, ends the process with a signal. Without
   * it, the statement rejects: https://www.sqlite.org/mmap.html
   */
  mmap_size: 0,
});

/** The scripts that set up a new connection. */
export interface SetupScripts {
  /** Waits only briefly for locks, so that the open can be cancelled between two tries. */
  readonly first: string;
  /** Sets the final busy timeout, if it differs from the short one. */
  readonly last: string;
}

/** The scripts that set the recommended PRAGMAs, overridden by the given ones. */
export function setupScripts(pragmas: Pragmas | false): SetupScripts {
  if (pragmas === false) return { first: '', last: '' };
  const { busy_timeout, ...others } = { ...RECOMMENDED_PRAGMAS, ...pragmas };
  if (busy_timeout === null) return { first: scriptOf(others), last: '' };
  const own = scriptOf({ busy_timeout });
  const short = scriptOf({ busy_timeout: SHORT_BUSY_TIMEOUT_MS });
  return { first: `${short} ${scriptOf(others)}`, last: own === short ? '' : own };
}

function scriptOf(pragmas: Record<string, unknown>): string {
  return Object.entries(pragmas)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `PRAGMA ${checkName(name)} = ${checkValue(name, value)};`)
    .join(' ');
}

/** Whether a connection has the short busy timeout of the recommended set, and not one that its user chose. */
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
