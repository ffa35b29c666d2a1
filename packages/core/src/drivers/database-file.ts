import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { bounded, limitOf, noTimeout, systemClock, type Limit } from '../waiting/deadline.ts';
import type { Connection, Driver } from '../driver.ts';
import { InvalidArgumentError, OpenError, SqlitePoolError } from '../errors.ts';
import { diagnoseOpenError } from './open-error.ts';

/** Opens one connection, unless the signal aborts first. @param mayCreate - Whether a missing file is made. */
export type OpenOne = (path: string, mayCreate: boolean, signal?: AbortSignal) => Promise<Connection>;

/**
 * The driver of a database file, or of one in memory: what every driver that opens files by their path has in common.
 *
 * @param open - Rejects with SQLite's own error, whose `errno` says why.
 * @param mayCreate - Whether the first open may make a missing file.
 */
export function fileDriver(name: string, filename: string, open: OpenOne, mayCreate = true): Driver {
  checkFilename(filename);
  if (filename === ':memory:')
    return { name, inMemory: true, open: (signal) => diagnosed(filename, true, open, signal) };
  // Resolved once: a process that changes its directory must not change its database.
  const path = resolve(filename);
  return {
    name,
    open: createdOnce((creates, signal) => diagnosed(path, creates, open, signal), mayCreate),
    databaseId: () => fileId(path),
    walBytes: () => walBytes(path),
  };
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

async function diagnosed(
  path: string,
  mayCreate: boolean,
  open: OpenOne,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  try {
    return await open(path, mayCreate, signal);
  } catch (error) {
    if (error instanceof SqlitePoolError) throw error;
    signal?.throwIfAborted();
    throw await diagnoseOpenError(path, mayCreate, error);
  }
}

/**
 * One open at a time until one has succeeded: only one connection can switch a new file to WAL. If it fails, so do those that wait for
 * it: to let each of them try again for seconds would keep the last for minutes. From then on a file that is missing was taken away: an
 * empty one must not take its place.
 */
function createdOnce(
  open: (creates: boolean, signal: AbortSignal | undefined) => Promise<Connection>,
  mayCreate: boolean,
): (signal?: AbortSignal) => Promise<Connection> {
  let created = !mayCreate;
  let first: Promise<OpenError | undefined> | undefined;
  return async (signal) => {
    while (!created && first !== undefined) {
      const failure = await bounded(first, until(signal));
      if (failure !== undefined) throw new OpenError(failure.reason, failure.message, failure.cause);
    }
    if (created) return await open(false, signal);
    const opening = open(true, signal);
    first = opening.then(
      () => {
        created = true;
        return undefined;
      },
      (error: unknown) => {
        first = undefined;
        // Another reason says nothing of the file: it was not wanted any more, for example.
        return error instanceof OpenError ? error : undefined;
      },
    );
    return await opening;
  };
}

/** No time limit: the pool has its own. */
export function until(signal: AbortSignal | undefined): Limit {
  return limitOf(systemClock, Infinity, noTimeout, signal);
}

/** The same for every path to one file: https://www.sqlite.org/howtocorrupt.html#_multiple_links_to_the_same_file */
export async function fileId(path: string): Promise<string> {
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
