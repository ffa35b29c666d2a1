import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Connection, Driver } from '../driver.ts';
import { DriverMissingError, InvalidArgumentError } from '../errors.ts';
import { Estimates } from './estimates.ts';
import { diagnoseOpenError } from './open-error.ts';
import { pragmaScript, waitsBriefly, type Pragmas } from './pragmas.ts';
import { Sqlite3Connection, type Sqlite3Database, type Sqlite3Settings } from './sqlite3-connection.ts';

/**
 * Options of the sqlite3 driver.
 *
 * @example const options: Sqlite3Options = { filename: 'app.db', statementCacheSize: 64 };
 */
export interface Sqlite3Options {
  /** The database file, created if missing (its directory is not), or `:memory:`. */
  readonly filename: string;
  /** Merged over {@link RECOMMENDED_PRAGMAS}; `false` sets none. */
  readonly pragmas?: Pragmas | false | undefined;
  /** Prepared statements kept per connection, about 5 KB each; 0 is off. Default 256. */
  readonly statementCacheSize?: number | undefined;
}

interface Sqlite3Module {
  readonly Database: new (
    filename: string,
    mode: number,
    callback: (error: Error | null) => void,
  ) => Sqlite3Database;
  readonly OPEN_READWRITE: number;
  readonly OPEN_CREATE: number;
  readonly OPEN_FULLMUTEX: number;
}

/** Makes errors carry the extended result code; not among the module's constants. https://www.sqlite.org/c3ref/open.html */
const OPEN_EXRESCODE = 0x02000000;

/**
 * The driver for the `sqlite3` package, an optional peer dependency that is loaded at the first open.
 *
 * Throws `InvalidArgumentError` for an option that cannot work; opening rejects with `DriverMissingError` or
 * `OpenError`.
 *
 * @example const pool = createPool({ driver: sqlite3({ filename: 'app.db', pragmas: { cache_size: -4096 } }) });
 */
export function sqlite3({ filename, pragmas = {}, statementCacheSize = 256 }: Sqlite3Options): Driver {
  checkFilename(filename);
  if (!Number.isInteger(statementCacheSize) || statementCacheSize < 0) {
    throw new InvalidArgumentError('Option statementCacheSize must be a whole number from 0.');
  }
  const setup: Setup = {
    script: pragmaScript(pragmas),
    statementCacheSize,
    waitsBriefly: waitsBriefly(pragmas),
    estimates: new Estimates(),
  };
  const inMemory = filename === ':memory:';
  // Resolved once: a process that changes its directory must not change its database.
  const path = inMemory ? filename : resolve(filename);
  const open = opener(path, setup);
  return inMemory
    ? { name: 'sqlite3', inMemory, open }
    : { name: 'sqlite3', open, databaseId: () => fileId(path), walBytes: () => walBytes(path) };
}

function checkFilename(filename: unknown): void {
  if (typeof filename !== 'string' || filename === '')
    throw new InvalidArgumentError('Option filename must be a path, or ":memory:".');
  if (filename.includes('\0')) throw new InvalidArgumentError('Option filename has a NUL character in it.');
  if (/^file:/i.test(filename)) {
    throw new InvalidArgumentError(
      'Option filename is a URI: give a path. (A URI is configuration that can be smuggled in.)',
    );
  }
}

/** The same for every path to one file: https://www.sqlite.org/howtocorrupt.html#_multiple_links_to_the_same_file */
async function fileId(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true });
  return `${String(dev)}:${String(ino)}`;
}

/** SQLite names the WAL after the file itself, not after a link to it. */
async function walBytes(path: string): Promise<number> {
  try {
    const { size } = await stat(`${await realpath(path)}-wal`);
    return size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

function opener(path: string, setup: Setup): () => Promise<Connection> {
  const openOne = async (mayCreate: boolean): Promise<Connection> => {
    const module = await load();
    try {
      return await setUp(await openDatabase(module, path, mayCreate), setup);
    } catch (error) {
      throw await diagnoseOpenError(path, mayCreate, error);
    }
  };
  let created = false;
  let first: Promise<unknown> | undefined;
  return async () => {
    // One at a time until one has succeeded: only one connection can switch a new file to WAL.
    while (!created && first !== undefined) await first;
    // From then on a file that is missing was taken away: an empty one must not take its place.
    if (created) return await openOne(false);
    const opening = openOne(true);
    first = opening.then(
      () => (created = true),
      () => (first = undefined),
    );
    return await opening;
  };
}

/** What a new connection is made of. */
interface Setup extends Sqlite3Settings {
  /** Its PRAGMAs. */
  readonly script: string;
}

async function setUp(database: Sqlite3Database, setup: Setup): Promise<Connection> {
  const connection = new Sqlite3Connection(database, setup);
  try {
    await runSetup(connection, setup.script);
    // A file is read at the first access only: this finds out whether it is a database.
    await connection.execute('SELECT count(*) FROM sqlite_schema');
    return connection;
  } catch (error) {
    await Promise.allSettled([connection.close()]);
    throw error;
  }
}

/**
 * SQLite answers BUSY at once, whatever the busy timeout, when two connections switch one new file to WAL together, and
 * after a short busy timeout when another process holds it. The PRAGMAs can be set again from the first, so the wait is
 * here and takes no thread.
 */
async function runSetup(connection: Sqlite3Connection, setup: string): Promise<void> {
  const until = performance.now() + SETUP_AGAIN_FOR_MS;
  while (setup !== '') {
    try {
      await connection.exec(setup);
      return;
    } catch (error) {
      if (performance.now() >= until || ((error as { errno: number }).errno & 0xff) !== BUSY) throw error;
      await setTimeout(SETUP_PAUSE_MS);
    }
  }
}

const SETUP_AGAIN_FOR_MS = 5000;
const SETUP_PAUSE_MS = 20;
/** https://www.sqlite.org/rescode.html#busy */
const BUSY = 5;

async function load(): Promise<Sqlite3Module> {
  const { default: module } = await import('sqlite3').catch(refuse);
  return module;
}

/* v8 ignore next -- tested in processes without the package, or with a broken one, and they are not counted */
function refuse(error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  throw new DriverMissingError(
    missing
      ? 'The database driver is not installed. Run: npm install sqlite3'
      : 'The sqlite3 package is installed, but its native part cannot be loaded. Its install script may have been blocked: ' +
          'allow it (pnpm: allowBuilds; npm: npm approve-scripts sqlite3) and run: npm rebuild sqlite3',
    error,
  );
}

/** A handle whose open failed settles nothing that is called on it, not even `close`: it is left alone. */
function openDatabase(module: Sqlite3Module, path: string, mayCreate: boolean): Promise<Sqlite3Database> {
  const mode =
    module.OPEN_READWRITE | module.OPEN_FULLMUTEX | OPEN_EXRESCODE | (mayCreate ? module.OPEN_CREATE : 0);
  return new Promise((done, fail) => {
    const database = new module.Database(path, mode, (error) => {
      if (error === null) done(database);
      else fail(error);
    });
  });
}
