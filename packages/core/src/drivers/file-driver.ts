import { realpath, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { bounded, systemClock, untilCancelled } from '../waiting/deadline.ts';
import type { Connection, Driver } from '../driver.ts';
import { InvalidArgumentError, OpenError, SqlitePoolError } from '../errors.ts';
import { diagnoseOpenError } from './open-error.ts';

/** Opens one connection, unless the signal aborts first. @param mayCreate - Whether a missing file is created. */
export type OpenOne = (path: string, mayCreate: boolean, signal?: AbortSignal) => Promise<Connection>;

/**
 * The driver of a database file or an in-memory database. All drivers that open files by their path share it.
 *
 * @param open - Rejects with SQLite's own error, whose `errno` holds the reason.
 * @param mayCreate - Whether the first open may create a missing file.
 */
export function fileDriver(name: string, filename: string, open: OpenOne, mayCreate = true): Driver {
  checkFilename(filename);
  if (filename === ':memory:')
    return {
      name,
      database: filename,
      inMemory: true,
      open: (signal) => diagnosed(filename, true, open, signal),
    };
  // Resolved once: a process that changes its working directory must not change its database.
  const path = resolve(filename);
  return {
    name,
    database: basename(path),
    open: createdOnce((creates, signal) => diagnosed(path, creates, open, signal), mayCreate),
    databaseId: () => fileId(path),
    // A connection that only reads cannot make the checkpoints for which the pool asks.
    ...(mayCreate && { walBytes: () => walBytes(path) }),
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
 * Opens one connection at a time until an open has succeeded, because only one connection can switch a new file to WAL.
 * If it fails, the waiting opens fail, too: if each of them tried again for seconds, the last one would wait for
 * minutes. After the first success, a missing file was removed by other code, and an empty one must not take its place.
 */
function createdOnce(
  open: (creates: boolean, signal: AbortSignal | undefined) => Promise<Connection>,
  mayCreate: boolean,
): (signal?: AbortSignal) => Promise<Connection> {
  let created = !mayCreate;
  let first: Promise<OpenError | undefined> | undefined;
  return async (signal) => {
    while (!created && first !== undefined) {
      const failure = await bounded(first, untilCancelled(systemClock, signal));
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
        // Any other reason says nothing about the file. For example, the caller may have cancelled the open.
        return error instanceof OpenError ? error : undefined;
      },
    );
    return await opening;
  };
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
