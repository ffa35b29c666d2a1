/** What vitest.config.ts puts in the place of src/drivers/worker/node-sqlite.ts, so that the tests of the default driver run on sqlite3 as well. */
import type { Driver } from '../../../src/driver.ts';
import { sqlite3 } from '../../../src/drivers/sqlite3/sqlite3.ts';
import type { WorkerOptions } from '../../../src/drivers/worker/node-sqlite.ts';

export function nodeSqlite({ filename, pragmas, statementCacheSize }: WorkerOptions): Driver {
  return sqlite3({ filename, pragmas, statementCacheSize });
}
