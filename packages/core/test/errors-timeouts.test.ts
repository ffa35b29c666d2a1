import { expect, onTestFinished, test } from 'vitest';
import { createPool } from '../src/index.ts';
import { sqlite3 } from '../src/drivers/sqlite3/sqlite3.ts';

test.for([Infinity, 60_000])(
  'F11 the timeoutMs of a statement (%d) is not for its wait for a connection, which acquireTimeoutMs bounds',
  async (timeoutMs) => {
    // A driver that needs no thread, whose start would count against so short a limit.
    const driver = sqlite3({ filename: ':memory:' });
    const pool = createPool({ driver, acquireTimeoutMs: 300 });
    onTestFinished(() => pool.close());
    await pool.script('CREATE TABLE t (a)');
    await using _held = await pool.acquire();
    for (const sql of ['SELECT * FROM t', 'DELETE FROM t']) {
      const call = pool.all(sql, [], { timeoutMs });
      await expect(call).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
    }
  },
);
