import { describe, expect, it, vi } from 'vitest';
import { InvalidArgumentError, type Driver } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { driverCases, fakeDriver, type OpenDriver } from '../../src/testing/index.ts';

/** With its cache and without, because a statement that is kept is where drivers go wrong. */
const DRIVERS: Readonly<Record<string, OpenDriver>> = {
  sqlite3: (filename) => sqlite3({ filename }),
  'sqlite3 that keeps no statements': (filename) => sqlite3({ filename, statementCacheSize: 0 }),
  'sqlite3 without its PRAGMAs': (filename) => sqlite3({ filename, pragmas: false }),
  'sqlite3 that does what it must, and no more': (filename) => reduced(sqlite3({ filename })),
};

/** A driver without an ability that a connection can do without, and without the name of its file. */
function reduced({ name, open }: Driver): Driver {
  return {
    name,
    open: async () => {
      const connection = await open();
      return {
        execute: (...args) => connection.execute(...args),
        rollback: () => connection.rollback(),
        close: () => connection.close(),
        inTransaction: () => connection.inTransaction(),
      };
    },
  };
}

function caseOf(title: string): (typeof driverCases)[number] {
  return driverCases.find((each) => each.title === title)!;
}

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

  it('fail for a driver that resolves where it must reject', async () => {
    const { run } = caseOf('rejects with an error that carries the result code');
    await expect(run(() => fakeDriver())).rejects.toThrow('had to fail');
  });

  it('fail for a driver that throws where it must reject', async () => {
    const { run } = caseOf('refuses a BEGIN inside a transaction');
    const driver = fakeDriver({ execute: { 2: { throw: new Error('within a transaction') } } });
    await expect(run(() => driver)).rejects.toThrow('instead of rejecting');
    expect(driver.openConnections).toBe(0);
  });

  it('fail for a driver whose errors do not have the code of SQLite', async () => {
    const { run } = caseOf('rejects with an error that carries the result code');
    const reject = new InvalidArgumentError('no');
    const driver = fakeDriver(({ sql, nth }) =>
      sql.startsWith('INSERT') && nth === 3 ? { reject } : undefined,
    );
    await expect(run(() => driver)).rejects.toThrow('INVALID_ARGUMENT');
  });

  it('fail for a driver that hangs, and do not hang with it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { run } = caseOf('refuses a BEGIN inside a transaction');
    const driver = fakeDriver({ execute: { 2: 'hang' } });
    const failed = expect(run(() => driver)).rejects.toThrow('has not settled after 10000 ms');
    await vi.waitFor(() => expect(driver.count('execute')).toBe(2));
    await vi.advanceTimersByTimeAsync(10_000);
    await failed;
    expect(driver.openConnections).toBe(0);
    vi.useRealTimers();
  });
});
