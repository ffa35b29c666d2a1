import { availableParallelism } from 'node:os';
import { isAbsolute } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { isLocked } from '../../driver-errors.ts';
import type { Connection, Driver } from '../../driver.ts';
import { DriverMissingError, InvalidArgumentError } from '../../errors.ts';
import { fileDriver } from '../database-file.ts';
import { setupScripts, waitsBriefly, type Pragmas } from '../pragmas.ts';
import { WorkerConnection } from './connection.ts';
import { describe } from './describe.ts';
import { findInterrupter, type Interrupter } from './interrupter.ts';
import type { BindingSource, OpenMessage } from './protocol.ts';
import type { Thread } from './thread.ts';
import { Threads } from './threads.ts';

/**
 * Options of the drivers on worker threads, `node:sqlite` and better-sqlite3.
 *
 * @example const options: WorkerOptions = { filename: 'app.db', setup: new URL('./sqlite-setup.js', import.meta.url) };
 */
export interface WorkerOptions {
  /** The database file, created if missing (its directory is not), or `:memory:`. */
  readonly filename: string;
  /** Merged over {@link RECOMMENDED_PRAGMAS}, but for `busy_timeout`, which is 0; `false` sets none. */
  readonly pragmas?: Pragmas | false | undefined;
  /** Prepared statements kept per connection; 0 is off. Default 256. */
  readonly statementCacheSize?: number | undefined;
  /** Most threads. Another is started only while the others are busy for long. Default: one per core, at most 4. */
  readonly threads?: number | undefined;
  /** Paths of SQLite extensions that each new connection loads. Loading is allowed only while that happens. */
  readonly extensions?: readonly string[] | undefined;
  /**
   * A module, by its URL or absolute path, that each thread imports; its default export is called with each new database (of
   * the binding), and may register functions. It may be async; the connection waits for it.
   */
  readonly setup?: URL | string | undefined;
  /** Opens the file read-only; it must exist. */
  readonly readonly?: boolean | undefined;
}

/** How long the PRAGMAs of a new connection are tried again that met a lock, and how often, in milliseconds. */
const OPEN_AGAIN_FOR_MS = 5000;
const OPEN_PAUSE_MS = 20;
/** The same for each statement of a script. */
const SCRIPT_BUSY_MS = 5000;
const MOST_DEFAULT_THREADS = 4;

/** Makes the driver for a binding. `source` finds the binding; it throws `DriverMissingError` if it cannot. */
export function workerDriver(
  options: WorkerOptions,
  name: BindingSource['name'],
  source: () => BindingSource,
): Driver {
  const { filename, pragmas = {} } = options;
  const message = openMessage(options);
  const settings = {
    scriptBusyMs: waitsBriefly(pragmas) ? SCRIPT_BUSY_MS : 0,
    cutsText: name === 'node:sqlite' && process.versions.node.startsWith('22.'),
    pause: (ms: number) => setTimeout(ms),
  };
  const setup = setupUrl(options.setup);
  const most = checkThreads(options.threads);
  let threads: Threads | undefined;
  let interrupter: Promise<Interrupter | undefined> | undefined;
  const open = async (path: string, mayCreate: boolean): Promise<Connection> => {
    const binding = source();
    threads ??= new Threads(most, { binding, setup, describe });
    const found = await (interrupter ??= findInterrupter(binding));
    const mode = options.readonly === true ? 'readonly' : mayCreate ? 'create' : 'existing';
    for (const until = performance.now() + OPEN_AGAIN_FOR_MS; ;) {
      const thread = threadOf(threads);
      const slot = new Int32Array(new SharedArrayBuffer(4));
      try {
        const { number, handle } = await thread.open({
          ...message,
          path,
          mode,
          slot,
          interruptible: found?.extension,
        });
        const interrupt =
          found === undefined || handle === undefined
            ? undefined
            : () => {
                found.interrupt(handle);
              };
        return new WorkerConnection(thread, number, slot, { ...settings, interrupt });
      } catch (error) {
        if (!isLocked(error) || performance.now() >= until) throw error;
        // Two connections that switch one new file to WAL meet SQLITE_BUSY at once, whatever the busy timeout.
        await setTimeout(OPEN_PAUSE_MS);
      }
    }
  };
  return fileDriver(name, filename, open, options.readonly !== true);
}

export type Prepared = Omit<OpenMessage, 'kind' | 'connection' | 'slot' | 'path' | 'mode' | 'interruptible'>;

/** What every connection is opened with. */
export function openMessage(options: WorkerOptions): Prepared {
  const { pragmas = {}, statementCacheSize = 256, extensions = [], readonly = false } = options;
  if (!Number.isInteger(statementCacheSize) || statementCacheSize < 0)
    throw new InvalidArgumentError('Option statementCacheSize must be a whole number from 0.');
  if (!Array.isArray(extensions) || !extensions.every((path) => typeof path === 'string' && path !== ''))
    throw new InvalidArgumentError('Option extensions must be an array of paths.');
  const own = readonly ? { ...OWN_PRAGMAS, journal_mode: null } : OWN_PRAGMAS;
  const { first, last } = setupScripts(pragmas === false ? false : { ...own, ...pragmas });
  return {
    pragmas: `${first} ${last}`.trim(),
    extensions: [...(extensions as readonly string[])],
    statementCacheSize,
  };
}

/** A wait for a lock would keep every connection of the thread waiting: the pool tries again instead. */
const OWN_PRAGMAS: Pragmas = { busy_timeout: 0 };

function checkThreads(threads: number = Math.min(MOST_DEFAULT_THREADS, availableParallelism())): number {
  if (Number.isInteger(threads) && threads >= 1) return threads;
  throw new InvalidArgumentError('Option threads must be a whole number from 1.');
}

function setupUrl(setup: URL | string | undefined): string | undefined {
  if (setup === undefined) return undefined;
  if (setup instanceof URL) return setup.href;
  if (typeof setup === 'string' && isAbsolute(setup)) return pathToFileURL(setup).href;
  throw new InvalidArgumentError('Option setup must be the URL or the absolute path of a module.');
}

/** A new thread, if one is needed. */
function threadOf(threads: Threads): Thread {
  try {
    return threads.forNewConnection();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_ACCESS_DENIED') throw error;
    throw new DriverMissingError(
      'This driver runs SQLite on worker threads: add --allow-worker to --permission.',
      error,
    );
  }
}
