import { availableParallelism } from 'node:os';
import { isAbsolute } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { Driver } from '../../driver.ts';
import { InvalidArgumentError } from '../../errors.ts';
import { fileDriver, type OpenOne } from '../file-driver.ts';
import { pragmaScript, waitsBriefly, type Pragmas } from '../pragmas.ts';
import { describe } from './describe.ts';
import { findInterrupter, type Interrupter } from './interrupter.ts';
import { Opener } from './opener.ts';
import type { BindingSource, OpenMessage } from './protocol.ts';
import { Threads } from './threads.ts';

/**
 * Options of the drivers on worker threads, `node:sqlite` and better-sqlite3.
 *
 * @example const options: WorkerOptions = { filename: 'app.db', setup: new URL('./sqlite-setup.js', import.meta.url) };
 */
export interface WorkerOptions {
  /** The path of the database file, or `:memory:`. A missing file is created, a missing directory is not. */
  readonly filename: string;
  /** PRAGMAs that override {@link RECOMMENDED_PRAGMAS} and a `busy_timeout` of 0; `false` sets none. */
  readonly pragmas?: Pragmas | false | undefined;
  /** The number of prepared statements that each connection keeps; 0 is off. Default: 256. */
  readonly statementCacheSize?: number | undefined;
  /**
   * The largest number of threads. A new thread starts only for long calls, or for calls that would wait for a long
   * call. Default: one per core, at least 2 and at most 4.
   */
  readonly threads?: number | undefined;
  /** Paths of SQLite extensions that each new connection loads. Loading is allowed only during that time. */
  readonly extensions?: readonly string[] | undefined;
  /**
   * The URL or absolute path of a module that each thread imports. Its default export is called with each new database
   * object of the binding, and may register functions. It may be async; the connection waits for it.
   */
  readonly setup?: URL | string | undefined;
  /** Opens the file read-only. The file must exist. */
  readonly readonly?: boolean | undefined;
}

/** How long a statement of a script is tried again after it met a lock, in milliseconds. */
const SCRIPT_BUSY_MS = 5000;
/** At least two, even on one core: a slow statement must not delay all other calls. */
const LEAST_DEFAULT_THREADS = 2;
const MOST_DEFAULT_THREADS = 4;

/** Makes the driver for a binding. `source` finds the binding, or throws `DriverMissingError`. */
export function workerDriver(
  options: WorkerOptions,
  name: BindingSource['name'],
  source: () => BindingSource,
  find: (binding: BindingSource) => Promise<Interrupter | undefined> = once(findInterrupter),
): Driver {
  const { filename, pragmas = {} } = options;
  const message = openMessage(options);
  const settings = {
    scriptBusyMs: waitsBriefly(pragmas) ? SCRIPT_BUSY_MS : 0,
    truncatesText: name === 'node:sqlite' && truncatesText(process.versions),
    pause: (ms: number) => setTimeout(ms),
  };
  const setup = setupUrl(options.setup);
  const most = checkThreads(options.threads);
  let opener: Opener | undefined;
  const open: OpenOne = async (path, mayCreate, signal) => {
    const binding = source();
    const interrupter = await find(binding);
    opener ??= new Opener(new Threads(most, { binding, setup, describe }), {
      message: { ...message, path },
      readonly: options.readonly === true,
      interrupter,
    });
    return await opener.connect(mayCreate, settings, signal);
  };
  return fileDriver(name, filename, open, options.readonly !== true);
}

/** Node.js 22 and Deno end a text at a NUL. */
function truncatesText({ node, deno }: Readonly<Record<string, string | undefined>>): boolean {
  return deno !== undefined || node?.startsWith('22.') === true;
}

function once<A, T>(work: (argument: A) => T): (argument: A) => T {
  let result: { readonly value: T } | undefined;
  return (argument) => (result ??= { value: work(argument) }).value;
}

/** The settings with which every handle is opened. */
export type Prepared = Pick<OpenMessage, 'pragmas' | 'extensions' | 'statementCacheSize'>;

/** The settings with which every connection is opened. */
export function openMessage(options: WorkerOptions): Prepared {
  const { pragmas = {}, statementCacheSize = 256, extensions = [], readonly = false } = options;
  if (!Number.isInteger(statementCacheSize) || statementCacheSize < 0)
    throw new InvalidArgumentError('Option statementCacheSize must be a whole number from 0.');
  if (!Array.isArray(extensions) || !extensions.every((path) => typeof path === 'string' && path !== ''))
    throw new InvalidArgumentError('Option extensions must be an array of paths.');
  const own = readonly ? { journal_mode: null } : {};
  return {
    pragmas: pragmaScript(pragmas === false ? false : { ...own, ...pragmas }),
    extensions: [...(extensions as readonly string[])],
    statementCacheSize,
  };
}

function defaultThreads(): number {
  return Math.max(LEAST_DEFAULT_THREADS, Math.min(MOST_DEFAULT_THREADS, availableParallelism()));
}

function checkThreads(threads: number = defaultThreads()): number {
  if (Number.isInteger(threads) && threads >= 1) return threads;
  throw new InvalidArgumentError('Option threads must be a whole number from 1.');
}

function setupUrl(setup: URL | string | undefined): string | undefined {
  if (setup === undefined) return undefined;
  if (setup instanceof URL) return setup.href;
  if (typeof setup === 'string' && isAbsolute(setup)) return pathToFileURL(setup).href;
  throw new InvalidArgumentError('Option setup must be the URL or the absolute path of a module.');
}
