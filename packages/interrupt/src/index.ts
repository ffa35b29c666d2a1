import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where the package has a file, and the ending that the platform expects. */
const FILES: Readonly<Record<string, string>> = {
  'darwin-arm64': 'darwin-arm64.dylib',
  'darwin-x64': 'darwin-x64.dylib',
  'linux-arm64': 'linux-arm64.so',
  'linux-x64': 'linux-x64.so',
  'win32-arm64': 'win32-arm64.dll',
  'win32-x64': 'win32-x64.dll',
};

// CommonJS has the one, ES modules the other.
const here = typeof __dirname === 'undefined' ? import.meta.dirname : __dirname;

/**
 * The path of the SQLite extension for this platform, to be loaded into each connection that shall be interruptible,
 * and into the one that interrupts them. Its SQL function `sqlite_pool_interrupt()` returns the key of a connection,
 * and `sqlite_pool_interrupt(key)` interrupts the statements that run on the connection with that key; README.md shows
 * how.
 *
 * Call it once and hand the path to the worker threads: all connections of a process must load the same file.
 *
 * @returns The path; `undefined` on a platform without the extension, or where a bundler left the file behind.
 *
 * @example
 * const path = extensionPath();
 * if (path !== undefined) {
 *   const database = new DatabaseSync(':memory:', { allowExtension: true });
 *   database.loadExtension(path);
 *   database.enableLoadExtension(false);
 *   const interrupt = database.prepare('SELECT sqlite_pool_interrupt(?) AS found');
 *   interrupt.get(key); // { found: 1 }, or 0 once that connection is closed
 * }
 */
export function extensionPath(): string | undefined {
  const file = FILES[`${process.platform}-${process.arch}`];
  if (file === undefined) return undefined;
  const path = join(here, '..', 'prebuilt', file);
  return existsSync(path) ? path : undefined;
}
