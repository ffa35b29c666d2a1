import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OpenError, type OpenFailure } from '../errors.ts';

/** What can be wrong with a file. */
type FileFailure = Exclude<OpenFailure, 'unreachable'>;

const MESSAGES: Readonly<Record<FileFailure, string>> = {
  'missing-directory':
    'The directory of the database file does not exist. Create it first; only the file is created for you.',
  'missing-file':
    'The database file does not exist. The pool creates it at its first open only, and never if it only reads. Put it back, or create a new pool.',
  'is-a-directory': 'The path of the database is a directory, not a file.',
  'not-permitted':
    'The database file, or its directory, cannot be accessed: check the permissions of the process.',
  'read-only':
    'The database cannot be written: its file, directory or file system is read-only, and WAL mode must write both.',
  'not-a-database': 'The file is not a SQLite database (or it is encrypted).',
  replaced: 'The database file was replaced by another one.',
  unknown: 'The database could not be opened (details in error.cause).',
};

const READONLY = 8;
const IOERR = 10;
const CANTOPEN = 14;
const NOTADB = 26;
const PERM = 3;

/**
 * Finds out why a database could not be opened, because SQLite has one code, "unable to open", for most of the reasons.
 * `mayCreate`: the open would have created a missing file.
 */
export async function diagnoseOpenError(
  path: string,
  mayCreate: boolean,
  error: unknown,
): Promise<OpenError> {
  // Without an `errno` this is 0, which is the code of no error.
  const { errno } = error as { errno: number };
  const reason = await reasonOf(path, mayCreate, errno & 0xff);
  return new OpenError(reason, MESSAGES[reason], error);
}

async function reasonOf(path: string, mayCreate: boolean, code: number): Promise<FileFailure> {
  if (code === NOTADB) return 'not-a-database';
  if (code === READONLY) return 'read-only';
  if (code === PERM) return 'not-permitted';
  if (code !== CANTOPEN && code !== IOERR) return 'unknown';
  const directory = await kindOf(dirname(path));
  if (directory === 'no-access') return 'not-permitted';
  if (directory !== 'directory') return 'missing-directory';
  const file = await kindOf(path);
  if (file === 'directory') return 'is-a-directory';
  if (file === 'missing' && !mayCreate) return 'missing-file';
  const errors = [await accessError(dirname(path)), file === 'missing' ? undefined : await accessError(path)];
  if (errors.includes('EROFS')) return 'read-only';
  if (file === 'missing') return 'not-permitted';
  // Other reasons, such as too many open files, have the same code in SQLite.
  return errors.every((error) => error === undefined) ? 'unknown' : 'not-permitted';
}

async function kindOf(path: string): Promise<'file' | 'directory' | 'missing' | 'no-access'> {
  try {
    return (await stat(path)).isDirectory() ? 'directory' : 'file';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'no-access' : 'missing';
  }
}

/** The operating system's code why a path cannot be read and written; `undefined` if it can. */
async function accessError(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}
