import { describe, expect, it } from 'vitest';
import { createPool, type Connection, type Result } from '../../src/index.ts';
import type { BasicConnection } from '../../src/driver.ts';
import { fakePool } from './support.ts';

const nothing = async (): Promise<void> => undefined;

describe('a connection that can only do what it must', () => {
  it('has no scripts and no cursors, which is said, and is as good as before', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 1 }, { without: ['script', 'iterate'] });
    await expect(pool.script('SELECT 1')).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('script()') as unknown,
    });
    await expect(pool.iterate('SELECT 1').next()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('iterate()') as unknown,
    });
    await expect(pool.get('SELECT 1')).resolves.toBeUndefined();
    expect(driver.count('open')).toBe(1);
  });

  it('is its own raw connection, and is closed after that was used', async () => {
    const { pool, driver, clock } = fakePool();
    const lease = await pool.acquire();
    expect((lease.raw() as Connection).execute).toBeInstanceOf(Function);
    await lease.release();
    await clock.settle();
    expect(driver.openConnections).toBe(0);
    expect(pool.stats().evictions.dirty).toBe(1);
  });

  it.for([undefined, null, [], { rows: 'none' }, 'done'])(
    'and resolves to %o instead of a result gets an error that says what to resolve to',
    async (answer) => {
      const connection: BasicConnection = {
        // What JavaScript would let pass.
        execute: () => Promise.resolve(answer as unknown as Result),
        rollback: () => Promise.resolve(),
        close: () => Promise.resolve(),
      };
      const pool = createPool({ connectionFactory: () => Promise.resolve(connection) });
      await expect(pool.get('SELECT 1')).rejects.toMatchObject({
        code: 'SQLITE_ERROR',
        sqliteCode: 'UNKNOWN',
        message: expect.stringContaining('docs/drivers.md') as unknown,
      });
      await pool.close();
    },
  );

  it.for(['execute', 'rollback', 'close'] as const)(
    'and lacks %s() is closed, not leased',
    async (method) => {
      let closes = 0;
      const close = () => Promise.resolve(void (closes += 1));
      const all = { execute: nothing, rollback: nothing, close };
      // What a caller without types may give.
      const lacks = { ...all, [method]: undefined } as unknown as Connection;
      const pool = createPool({ connectionFactory: () => Promise.resolve(lacks) });
      await expect(pool.open()).rejects.toMatchObject({
        code: 'OPEN_FAILED',
        message: expect.stringContaining(`${method}()`) as unknown,
      });
      expect(closes).toBe(method === 'close' ? 0 : 1);
      await pool.close();
    },
  );
});
