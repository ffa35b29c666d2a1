import { constants } from 'node:buffer';
import { pause, systemClock, untilCancelled } from '../../waiting/deadline.ts';
import type { Connection, Driver } from '../../driver.ts';
import { DriverMissingError, InvalidArgumentError } from '../../errors.ts';
import { fileDriver, type OpenOne } from '../file-driver.ts';
import { Estimates } from './estimates.ts';
import { buildCommand, installCommand } from '../install-command.ts';
import { waitsBriefly, type Pragmas } from '../pragmas.ts';
import { setupScripts, type SetupScripts } from './busy-timeout.ts';
import { FIND_PROTO_COLUMN, ProtoColumns } from './columns.ts';
import { Sqlite3Connection, type Sqlite3Settings } from './connection.ts';
import type { Sqlite3Database } from './package.ts';

/**
 * Options of the sqlite3 driver.
 *
 * @example const options: Sqlite3Options = { filename: 'app.db', statementCacheSize: 64 };
 */
export interface Sqlite3Options {
  /** The path of the database file, or `:memory:`. A missing file is created, a missing directory is not. */
  readonly filename: string;
  /** PRAGMAs that override {@link RECOMMENDED_PRAGMAS} and a `busy_timeout` of 20; `false` sets none. */
  readonly pragmas?: Pragmas | false | undefined;
  /** The number of prepared statements that each connection keeps, about 5 KB each; 0 is off. Default: 256. */
  readonly statementCacheSize?: number | undefined;
  /**
   * The longest string, blob or row, in bytes, that a statement may read or write. A longer one is refused with
   * `SQLITE_TOOBIG`. At most 536 869 864. Default: 268 435 456 (256 MiB).
   */
  readonly maxValueBytes?: number | undefined;
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

/**
 * The package makes a V8 string of each text, and an exception there ends the process. So no text may be longer than
 * such a string, and no message of SQLite that contains a text. A text has at most as many characters as bytes.
 */
const MOST_VALUE_BYTES = constants.MAX_STRING_LENGTH - 1024;

/** About half of that: while a value is read, it is in memory at least three times. */
const DEFAULT_VALUE_BYTES = Math.min(268_435_456, MOST_VALUE_BYTES);

/**
 * SQLITE_LIMIT_LENGTH. Old versions of the package have no constant for it.
 * https://www.sqlite.org/c3ref/c_limit_attached.html
 */
const LIMIT_LENGTH = 0;

/** Adds the extended result code to errors. The module has no constant for it. https://www.sqlite.org/c3ref/open.html */
const OPEN_EXRESCODE = 0x02000000;

/**
 * The driver for the `sqlite3` package, an optional peer dependency. The first open loads it.
 *
 * Throws `InvalidArgumentError` for an option that is invalid. An open rejects with `DriverMissingError` or
 * `OpenError`.
 *
 * @example const pool = createPool({ driver: sqlite3({ filename: 'app.db', pragmas: { cache_size: -4096 } }) });
 */
export function sqlite3(options: Sqlite3Options): Driver {
  const { filename, pragmas = {}, statementCacheSize = 256, maxValueBytes = DEFAULT_VALUE_BYTES } = options;
  checkWhole('statementCacheSize', statementCacheSize, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('maxValueBytes', maxValueBytes, 1, MOST_VALUE_BYTES);
  const setup: Setup = {
    ...setupScripts(pragmas),
    statementCacheSize,
    maxValueBytes,
    waitsBriefly: waitsBriefly(pragmas),
    estimates: new Estimates(),
    protoColumns: new ProtoColumns(),
  };
  return fileDriver('sqlite3', filename, opener(setup));
}

function checkWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new InvalidArgumentError(
    `Option ${name} must be a whole number from ${String(min)} to ${String(max)}.`,
  );
}

function opener(setup: Setup): OpenOne {
  return async (path, mayCreate, signal) =>
    await setUp(await openDatabase(await load(), path, mayCreate), setup, signal);
}

/** The settings of a new connection. */
interface Setup extends Sqlite3Settings, SetupScripts {
  readonly maxValueBytes: number;
}

async function setUp(
  database: Sqlite3Database,
  setup: Setup,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  database.configure('limit', LIMIT_LENGTH, setup.maxValueBytes);
  const connection = new Sqlite3Connection(database, setup);
  try {
    await untilUnlocked(signal, async () => {
      await connection.exec(setup.first);
      const { rows } = await connection.execute(FIND_PROTO_COLUMN);
      if (rows[0]?.['found'] !== 0) setup.protoColumns.found();
    });
    if (setup.last !== '') await connection.exec(setup.last);
    return connection;
  } catch (error) {
    await Promise.allSettled([connection.close()]);
    throw error;
  }
}

/**
 * SQLite answers BUSY at once, whatever the busy timeout, when two connections switch one new file to WAL at the same
 * time. When another process holds the file, it answers BUSY after a short busy timeout. The set-up can run again from
 * its start. So the wait is here: it takes no thread, and the signal ends it.
 */
async function untilUnlocked(signal: AbortSignal | undefined, work: () => Promise<void>): Promise<void> {
  const end = systemClock.now() + SETUP_AGAIN_FOR_MS;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (systemClock.now() >= end || ((error as { errno: number }).errno & 0xff) !== BUSY) throw error;
      await pause(SETUP_PAUSE_MS, untilCancelled(systemClock, signal));
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

/* v8 ignore next -- tested in processes without the package, or with a broken one, where coverage is not measured */
function refuse(error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
  throw new DriverMissingError(
    missing
      ? `The sqlite3 package is not installed. Run: ${installCommand('sqlite3')}`
      : 'The sqlite3 package is installed, but its native part cannot be loaded. Its install script may have been blocked. ' +
          `Allow it: ${buildCommand('sqlite3')}`,
    error,
  );
}

/** Never call a handle whose open failed: no call on it settles, not even `close`. */
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
