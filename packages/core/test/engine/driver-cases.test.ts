import { describe, expect, it } from 'vitest';
import { sqlite3 } from '../../src/index.ts';
import { driverCases, fakeDriver, type OpenDriver } from '../../src/testing/index.ts';

/** With its cache and without, because a statement that is kept is where drivers go wrong. */
const DRIVERS: Readonly<Record<string, OpenDriver>> = {
  sqlite3: (filename) => sqlite3({ filename }),
  'sqlite3 that keeps no statements': (filename) => sqlite3({ filename, statementCacheSize: 0 }),
  'sqlite3 without its PRAGMAs': (filename) => sqlite3({ filename, pragmas: false }),
};

describe.for(Object.entries(DRIVERS))('the driver %s', ([, openDriver]) => {
  it.for(driverCases.map(({ title, run }) => ({ title, run })))('$title', async ({ run }) => {
    await expect(run(openDriver)).resolves.toBeUndefined();
  });
});

describe('the cases for drivers', () => {
  it('fail for a driver that stores nothing', async () => {
    const ends = await Promise.allSettled(driverCases.map(({ run }) => run(() => fakeDriver())));
    const passed = driverCases.filter((_, at) => ends[at]?.status === 'fulfilled').map(({ title }) => title);
    // What can be kept by doing nothing at all.
    expect(passed.length).toBeLessThan(driverCases.length / 3);
  });
});
