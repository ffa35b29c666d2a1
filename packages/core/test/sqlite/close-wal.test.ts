import { copyFile, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sqliteModule from 'sqlite3';
import { describe, expect, test, vi } from 'vitest';
import { betterSqlite3 } from '../../src/drivers/worker/better-sqlite3.ts';
import { createPool, type Connection, type Driver } from '../../src/index.ts';
import { driverOf, ENDLESS, failure, onSqlite3, poolOf, temporaryFile, valuesOf } from './helpers.ts';

function defaultDriver(filename: string): Driver {
  return driverOf({ filename });
}

/** A pool that has written one row to a file of its own. */
async function poolWithRow(poolSize: number, make: (filename: string) => Driver = defaultDriver) {
  const filename = await temporaryFile();
  const pool = createPool({ driver: make(filename), closeTimeoutMs: 0, poolSize });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  await pool.run("INSERT INTO t (v) VALUES ('kept')");
  return { pool, filename };
}

/** No file is left but the database, and a copy of it has the row. */
async function expectTidy(filename: string): Promise<void> {
  await vi.waitFor(
    async () => {
      expect(await readdir(dirname(filename))).toEqual(['test.db']);
    },
    // On a busy machine an interrupted call may take longer to return than close() waits for it.
    { timeout: 5000 },
  );
  const copy = await temporaryFile();
  await copyFile(filename, copy);
  expect(await valuesOf(poolOf({ filename: copy }))).toEqual(['kept']);
}

test('F73 close() leaves no WAL behind when it had to interrupt a query, and a copy of the file has every row', async () => {
  for (let round = 0; round < 3; round += 1) {
    const { pool, filename } = await poolWithRow(1);
    const running = failure(pool.get(ENDLESS));
    await vi.waitFor(() => {
      expect(pool.stats().leased).toBe(1);
    });
    await pool.close();
    expect(await running).toMatchObject({ code: 'POOL_CLOSED' });
    await expectTidy(filename);
  }
});

test('F73 the close of a connection that was interrupted when nothing ran writes the WAL back', async () => {
  const filename = await temporaryFile();
  const connection = await driverOf({ filename }).open();
  await connection.script?.("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t (v) VALUES ('kept')");
  connection.interrupt?.();
  const closed = connection.close();
  connection.interrupt?.();
  await closed;
  connection.interrupt?.();
  await expectTidy(filename);
});

const DRIVERS: readonly (readonly [string, (filename: string) => Driver])[] = onSqlite3
  ? [['sqlite3', defaultDriver]]
  : [
      ['node:sqlite', defaultDriver],
      ['better-sqlite3', (filename) => betterSqlite3({ filename })],
    ];

const ENDS = [
  ['at close(), which revokes their leases', (leases: { discard(): unknown }[]) => leases],
  ['one after the other', (leases: { discard(): unknown }[]) => leases.map((lease) => lease.discard())],
] as const;

describe.for(DRIVERS)('F73 connections of the driver %s', ([, make]) => {
  test.for(ENDS)('are closed one at a time, so that the last one knows that it is: %s', async ([, end]) => {
    const count = { now: 0, most: 0 };
    const { pool, filename } = await poolWithRow(4, (name) => closesCounted(make(name), count));
    const leases = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    // Each has a handle of its own now.
    for (const lease of leases) await lease.get('SELECT count(*) FROM t');
    end(leases);
    await pool.close();
    await expectTidy(filename);
    expect(count.most).toBe(1);
  });
});

/** Notes how many connections are closed at the same time. */
function closesCounted(driver: Driver, count: { now: number; most: number }): Driver {
  const open = async (signal?: AbortSignal): Promise<Connection> => {
    const connection = await driver.open(signal);
    const close = connection.close.bind(connection);
    connection.close = async () => {
      count.now += 1;
      count.most = Math.max(count.most, count.now);
      await close();
      count.now -= 1;
    };
    return connection;
  };
  return { ...driver, open };
}

// The same at the native calls of the package. threads.test.ts of the worker drivers looks at the handles of one connection.
test.runIf(onSqlite3).for(ENDS)(
  'F73 connections are closed one at a time, so that the last one knows that it is: %s',
  async ([, end]) => {
    const close = sqliteModule.Database.prototype.close;
    let closing = 0;
    let most = 0;
    vi.spyOn(sqliteModule.Database.prototype, 'close').mockImplementation(function (
      this: sqliteModule.Database,
      done?: (error: Error | null) => void,
    ) {
      closing += 1;
      most = Math.max(most, closing);
      close.call(this, (error) => {
        closing -= 1;
        done?.(error);
      });
    });
    const { pool, filename } = await poolWithRow(4);
    const leases = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    for (const lease of leases) expect(lease.raw()).toBeDefined();
    end(leases);
    await pool.close();
    await expectTidy(filename);
    expect(most).toBe(1);
  },
);
