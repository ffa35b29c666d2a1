import sqliteModule from 'sqlite3';
import { expect, test, vi } from 'vitest';
import type { Lease } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { Child, failure, poolOf, temporaryFile, timed } from './helpers.ts';

/** A file that no other connection can be opened to until the lease ends. */
async function lockedFile(): Promise<{ filename: string; lock: Lease }> {
  const filename = await temporaryFile();
  const lock = await poolOf({ filename, pragmas: { journal_mode: 'DELETE' } }).acquire();
  await lock.run('BEGIN EXCLUSIVE');
  return { filename, lock };
}

test.for([{}, { busy_timeout: 60_000 }])(
  'F75 opens under way end with close(), the first one and those behind it, and leave nothing open (%o)',
  async (pragmas) => {
    const { filename } = await lockedFile();
    const [opened, closed, tries] = (['configure', 'close', 'exec'] as const).map((method) =>
      vi.spyOn(sqliteModule.Database.prototype, method),
    );
    const pool = poolOf({ filename, poolSize: 5, pragmas, closeTimeoutMs: 10_000 });
    const waiting = Array.from({ length: 5 }, () => failure(pool.get('SELECT 1')));
    await vi.waitFor(() => {
      expect(tries?.mock.calls.length).toBeGreaterThan(2);
    });
    expect(await timed(() => pool.close())).toBeLessThan(2000);
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'POOL_CLOSED' });
    expect(pool.stats()).toMatchObject({ size: 0, quarantined: 0 });
    expect(closed?.mock.calls.length).toBe(opened?.mock.calls.length);
  },
);

test('F75 a process whose pool is closed while it opens ends at once', async () => {
  const { filename } = await lockedFile();
  const child = new Child('opening.ts', [filename, 'close']);
  expect(await child.exit).toBe(0);
  expect(JSON.parse(child.output)).toMatchObject({ codes: ['ACQUIRE_TIMEOUT'], quarantined: 0 });
  expect((JSON.parse(child.output) as { ms: number }).ms).toBeLessThan(2000);
});

test('F75 opens that wait for the first one fail with it, so that a process does not go on for seconds for each of them', async () => {
  const { filename } = await lockedFile();
  const child = new Child('opening.ts', [filename, 'leave']);
  expect(await child.exit).toBe(0);
  expect((JSON.parse(child.output) as { ms: number }).ms).toBeLessThan(9000);
});

test('F75 an open whose signal aborts while it waits for one of another pool ends, and that one goes on', async () => {
  const { filename, lock } = await lockedFile();
  const driver = sqlite3({ filename });
  const controller = new AbortController();
  const first = driver.open();
  const second = failure(driver.open(controller.signal));
  controller.abort('not wanted');
  expect(await second).toBe('not wanted');
  await lock.release();
  await (await first).close();
});

test('F75 when the first open is not wanted any more, the next one takes its place', async () => {
  const { filename, lock } = await lockedFile();
  const driver = sqlite3({ filename });
  const controller = new AbortController();
  const first = failure(driver.open(controller.signal));
  const second = driver.open();
  controller.abort('not wanted');
  expect(await first).toBe('not wanted');
  await lock.release();
  await (await second).close();
});
