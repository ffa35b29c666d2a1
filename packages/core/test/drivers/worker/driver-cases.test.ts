import { describe, expect, it } from 'vitest';
import { betterSqlite3 } from '../../../src/drivers/worker/better-sqlite3.ts';
import { nodeSqlite } from '../../../src/drivers/worker/node-sqlite.ts';
import { driverCases, type OpenDriver } from '../../../src/testing/index.ts';

const DRIVERS: Readonly<Record<string, OpenDriver>> = {
  'node:sqlite': (filename) => nodeSqlite({ filename }),
  'node:sqlite that keeps no statements': (filename) => nodeSqlite({ filename, statementCacheSize: 0 }),
  'better-sqlite3': (filename) => betterSqlite3({ filename }),
};

describe.for(Object.entries(DRIVERS))('the driver %s', ([, openDriver]) => {
  it.for(driverCases.map(({ title, run }) => ({ title, run })))('$title', async ({ run }) => {
    await expect(run(openDriver)).resolves.toBeUndefined();
  });
});
