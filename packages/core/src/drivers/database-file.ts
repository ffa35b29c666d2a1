import { realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Connection, Driver } from '../driver.ts';
import { InvalidArgumentError, SqlitePoolError } from '../errors.ts';
import { diagnoseOpenError } from './open-error.ts';

/** Opens one connection. @param mayCreate - Whether a missing file is made. */
type OpenOne = (path: string, mayCreate: boolean) => Promise<Connection>;

/**
 * The driver of a database file, or of one in memory: what every driver that opens files by their path has in common.
 *
 * @param open - Rejects with SQLite's own error, whose `errno` says why.
 * @param mayCreate - Whether the first open may make a missing file.
 */
export function fileDriver(name: string, filename: string, open: OpenOne, mayCreate = true): Driver {
  checkFilename(filename);
  if (filename === ':memory:') return { name, inMemory: true, open: () => diagnosed(filename, true, open) };
  // Resolved once: a process that changes its directory must not change its database.
  const path = resolve(filename);
  return {
    name,
    open: createdOnce((creates) => diagnosed(path, creates, open), mayCreate),
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

async function diagnosed(path: string, mayCreate: boolean, open: OpenOne): Promise<Connection> {
  try {
    return await open(path, mayCreate);
  } catch (error) {
    if (error instanceof SqlitePoolError) throw error;
    throw await diagnoseOpenError(path, mayCreate, error);
  }
}

/**
 * One open at a time until one has succeeded: only one connection can switch a new file to WAL. From then on a file that is
 * missing was taken away: an empty one must not take its place.
 */
function createdOnce(
  open: (creates: boolean) => Promise<Connection>,
  mayCreate: boolean,
): () => Promise<Connection> {
  let created = !mayCreate;
  let first: Promise<unknown> | undefined;
  return async () => {
    while (!created && first !== undefined) await first;
    if (created) return await open(false);
    const opening = open(true);
    first = opening.then(
      () => (created = true),
      () => (first = undefined),
    );
    return await opening;
  };
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
