import { isBuiltin } from 'node:module';
import type { Driver } from '../../driver.ts';
import { installCommand } from '../install-command.ts';
import { workerDriver, type WorkerOptions } from './driver.ts';
import type { BindingSource } from './protocol.ts';
import { DriverMissingError } from '../../errors.ts';

export { type WorkerOptions } from './driver.ts';

/**
 * The driver for `node:sqlite`, which is part of Node.js 22.16 and newer. It runs on worker threads and needs no
 * installation. `createPool({ filename })` uses it.
 *
 * Throws `InvalidArgumentError` for an option that is invalid. An open rejects with `DriverMissingError` if the runtime
 * has no `node:sqlite`, or with `OpenError`.
 *
 * @example const pool = createPool({ driver: nodeSqlite({ filename: 'app.db', threads: 2 }) });
 */
export function nodeSqlite(options: WorkerOptions): Driver {
  return workerDriver(options, 'node:sqlite', findNodeSqlite);
}

/** Finds it by the version, without loading it: a load makes Node.js 22 print a warning. */
function findNodeSqlite(): BindingSource {
  const { node } = process.versions;
  const onSqlite3 = `sqlite3, with driver: sqlite3({ filename }) from @sqlite-pool/core. Run: ${installCommand('sqlite3')}`;
  if (isBuiltin('node:sqlite') && hasColumns(node)) return { name: 'node:sqlite' };
  throw new DriverMissingError(
    `This runtime (Node.js ${node}) has no node:sqlite that can be used: that takes Node.js 22.16 or newer, but not 23. Use such a one, or ` +
      'the driver of another package: better-sqlite3 (Node.js 22 and newer), with driver: betterSqlite3({ filename }) from ' +
      `@sqlite-pool/core/better-sqlite3. Run: ${installCommand('better-sqlite3')}. Or ${onSqlite3}`,
  );
}

/**
 * Whether `StatementSync` has `columns()` and `setReturnArrays()`. Without them, two columns with the same name cannot
 * be distinguished. Node.js 22.13 to 22.15 and all of 23 from 23.4 have a `node:sqlite` that lacks at least one of them:
 * https://nodejs.org/api/sqlite.html#statementsetreturnarraysenabled
 */
function hasColumns(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major >= 24 || (major === 22 && minor >= 16);
}
