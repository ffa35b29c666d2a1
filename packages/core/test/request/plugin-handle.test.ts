import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { pluginHandle } from '../../src/request/plugin-handle.ts';
import { createPool, type SqlitePool } from '../../src/pool.ts';
import { fakeDriver } from '../../src/testing/fake-driver.ts';

function makePool(script: Parameters<typeof fakeDriver>[0] = {}): SqlitePool {
  return createPool({ driver: fakeDriver(script) });
}

it('the handle of a plugin is ready when a first connection is open', async () => {
  const handle = pluginHandle({ pool: makePool(), closesPool: true });
  await expect(handle.ready).resolves.toBeUndefined();
  expect(handle.pool.stats()).toMatchObject({ opens: 1, leased: 0 });
  await handle.close();
});

it('the handle of a plugin says why a database cannot be opened, if the application awaits it', async () => {
  const handle = pluginHandle({
    pool: makePool({ open: { 1: { reject: new Error('disk') } } }),
    closesPool: true,
  });
  // An unhandled rejection would fail this test.
  await new Promise((tick) => setImmediate(tick));
  await expect(handle.ready).rejects.toMatchObject({ code: 'OPEN_FAILED' });
  await handle.close();
});

it.each([true, false])('the handle of a plugin closes its pool: %s', async (closesPool) => {
  const pool = makePool();
  const { ready, close } = pluginHandle({ pool, closesPool });
  await ready;
  await close();
  expect(pool.closed).toBe(closesPool);
  await pool.close();
});

it('the handle of a plugin closes its pool after its server', async () => {
  const { pool, ready, closeWith } = pluginHandle({ pool: makePool(), closesPool: true });
  await ready;
  let closed!: () => void;
  const server = Object.assign(new EventEmitter(), { close: (callback: () => void) => (closed = callback) });
  const done = closeWith(server)();
  expect(pool.closed).toBe(false);
  closed();
  await done;
  expect(pool.closed).toBe(true);
});
