import { isBuiltin } from 'node:module';
import type { Driver } from './driver.ts';
import { workerDriver, type WorkerOptions } from './drivers/worker/driver.ts';
import type { BindingSource } from './drivers/worker/protocol.ts';
import { DriverMissingError } from './errors.ts';

export { type WorkerOptions } from './drivers/worker/driver.ts';

/**
 * The driver for `node:sqlite`, which is part of Node.js from 22.16 on: it runs on worker threads, with nothing to install.
 *
 * Throws `InvalidArgumentError` for an option that cannot work; opening rejects with `DriverMissingError` where the runtime has no
 * `node:sqlite`, or with `OpenError`.
 *
 * @example const pool = createPool({ driver: nodeSqlite({ filename: 'app.db', threads: 2 }) });
 */
export function nodeSqlite(options: WorkerOptions): Driver {
  return workerDriver(options, 'node:sqlite', findNodeSqlite);
}

/** Found without loading it, which makes Node.js 22 print a warning. */
function findNodeSqlite(): BindingSource {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (isBuiltin('node:sqlite') && (major > 22 || minor >= 16)) return { name: 'node:sqlite' };
  throw new DriverMissingError(
    'This runtime has no node:sqlite that can be used: it came with Node.js 22.16. Use a newer runtime, or a driver of another ' +
      'package: better-sqlite3 (from Node.js 22 on) or sqlite3.',
  );
}
