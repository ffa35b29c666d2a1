import { join } from 'node:path';
import type { Driver } from '../../driver.ts';
import { installCommand } from '../install-command.ts';
import { workerDriver, type WorkerOptions } from './driver.ts';
import type { BindingSource } from './protocol.ts';
import { DriverMissingError } from '../../errors.ts';

export { type WorkerOptions } from './driver.ts';

/**
 * The driver for the `better-sqlite3` package, from version 13 on: it runs on worker threads.
 *
 * Throws `InvalidArgumentError` for an option that cannot work; opening rejects with `DriverMissingError` where the package is
 * missing, or with `OpenError`.
 *
 * @example const pool = createPool({ driver: betterSqlite3({ filename: 'app.db', threads: 2 }) });
 */
export function betterSqlite3(options: WorkerOptions): Driver {
  return workerDriver(options, 'better-sqlite3', findBetterSqlite3);
}

/** Resolved here, because a worker whose code is a string would look beside the working directory only. */
function findBetterSqlite3(): BindingSource {
  const failures: unknown[] = [];
  // Not imported: webpack reads calls of an imported createRequire, and warns of those whose argument it does not know.
  const { createRequire } = process.getBuiltinModule('node:module');
  // As an ES module, as CommonJS, and where a bundler has moved this file away from its node_modules.
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
