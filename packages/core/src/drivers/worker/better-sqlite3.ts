import { join } from 'node:path';
import type { Driver } from '../../driver.ts';
import { installCommand } from '../install-command.ts';
import { workerDriver, type WorkerOptions } from './driver.ts';
import type { BindingSource } from './protocol.ts';
import { DriverMissingError } from '../../errors.ts';

export { type WorkerOptions } from './driver.ts';

/**
 * The driver for the `better-sqlite3` package, version 13 or newer. It runs on worker threads.
 *
 * Throws `InvalidArgumentError` for an option that is invalid. An open rejects with `DriverMissingError` if the package
 * is missing, or with `OpenError`.
 *
 * @example const pool = createPool({ driver: betterSqlite3({ filename: 'app.db', threads: 2 }) });
 */
export function betterSqlite3(options: WorkerOptions): Driver {
  return workerDriver(options, 'better-sqlite3', findBetterSqlite3);
}

/** Resolved here, because a worker whose code is a string would look only beside the working directory. */
function findBetterSqlite3(): BindingSource {
  const failures: unknown[] = [];
  // Not imported: webpack reads calls of an imported createRequire, and warns if it does not know their argument.
  const { createRequire } = process.getBuiltinModule('node:module');
  // From this file as an ES module or as CommonJS, or from the working directory if a bundler has moved this file.
  for (const from of [
    typeof __filename === 'string' ? __filename : import.meta.url,
    join(process.cwd(), 'any.js'),
  ]) {
    try {
      return { name: 'better-sqlite3', path: createRequire(from).resolve('better-sqlite3') };
    } catch (error) {
      failures.push(error);
    }
  }
  throw new DriverMissingError(
    `The better-sqlite3 package is not installed. Run: ${installCommand('better-sqlite3')}`,
    failures[0],
  );
}
