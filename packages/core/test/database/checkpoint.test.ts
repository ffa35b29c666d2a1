import { describe, expect, it } from 'vitest';
import { checkpointCall, checkpointResult } from '../../src/database/checkpoint.ts';
import { fakePool } from '../pool/support.ts';

const NO_RESULT = { columns: [], changes: 0, lastInsertRowid: 0 };

describe('a checkpoint', () => {
  it.for([
    [{ mode: 'all' }, "mode must be 'passive', 'full', 'restart' or 'truncate'."],
    [{ mode: null }, "mode must be 'passive', 'full', 'restart' or 'truncate'."],
    [{ how: 'full' }, 'Unknown option "how". Known are: signal, timeoutMs, mode.'],
    [{ timeoutMs: 0 }, 'timeoutMs must be a number'],
  ] as const)('with %j is refused before anything is opened', async ([options, message]) => {
    const { pool, driver } = fakePool();
    await expect(pool.checkpoint(options as object)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(message) as unknown,
    });
    expect(driver.count('open')).toBe(0);
  });

  it('is passive by default, and only that needs no write lock', () => {
    expect(checkpointCall({}).statement).toMatchObject({
      sql: 'PRAGMA wal_checkpoint(passive)',
      readonly: true,
      taints: false,
    });
    for (const mode of ['full', 'restart', 'truncate'] as const)
      expect(checkpointCall({ mode }).statement).toMatchObject({ readonly: false, taints: false });
  });

  it('says what SQLite has answered, and nothing of a driver that answers with no row', () => {
    const row = { busy: 1, log: 30, checkpointed: 20 };
    expect(checkpointResult({ ...NO_RESULT, rows: [row] })).toEqual({
      busy: true,
      walPages: 30,
      checkpointedPages: 20,
    });
    expect(checkpointResult({ ...NO_RESULT, rows: [] })).toEqual({
      busy: false,
      walPages: -1,
      checkpointedPages: -1,
    });
  });

  it('keeps the connection, although it is a PRAGMA with an argument', async () => {
    const { pool, driver } = fakePool({}, { poolSize: 1 });
    await pool.checkpoint({ mode: 'truncate' });
    await pool.get('SELECT 1');
    expect(driver.count('open')).toBe(1);
  });
});
