/** What vitest.config.ts puts in the place of src/node-sqlite.ts, so that the tests of the default driver run on sqlite3 as well. */
import type { Driver } from '../../src/driver.ts';
import { sqlite3 } from '../../src/drivers/sqlite3.ts';
import type { WorkerOptions } from '../../src/node-sqlite.ts';

export function nodeSqlite({ filename, pragmas, statementCacheSize }: WorkerOptions): Driver {
  return sqlite3({ filename, pragmas, statementCacheSize });
}
