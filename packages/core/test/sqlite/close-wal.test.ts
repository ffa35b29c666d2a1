import { copyFile, readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sqliteModule from 'sqlite3';
import { expect, test, vi } from 'vitest';
import { createPool } from '../../src/index.ts';
import { driverOf, ENDLESS, failure, onSqlite3, poolOf, temporaryFile, valuesOf } from './helpers.ts';

/** A pool that has written one row to a file of its own. */
async function poolWithRow(options: { readonly poolSize: number }) {
  const filename = await temporaryFile();
  const pool = createPool({ filename, closeTimeoutMs: 0, ...options });
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
    const { pool, filename } = await poolWithRow({ poolSize: 1 });
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

// It looks at the native calls of the package. On worker threads the statement after a close says which connection was the last.
test.runIf(onSqlite3).for([
  ['at close(), which revokes their leases', (leases: { discard(): unknown }[]) => leases],
  ['one after the other', (leases: { discard(): unknown }[]) => leases.map((lease) => lease.discard())],
] as const)(
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
    const { pool, filename } = await poolWithRow({ poolSize: 4 });
    const leases = await Promise.all(Array.from({ length: 4 }, () => pool.acquire()));
    for (const lease of leases) expect(lease.raw()).toBeDefined();
    end(leases);
    await pool.close();
    await expectTidy(filename);
    expect(most).toBe(1);
  },
);
