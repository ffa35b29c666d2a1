import { describe, expect, it, onTestFinished } from 'vitest';
import { createPool, type PoolOptions, type SqlitePool } from '../../src/index.ts';

interface Line {
  readonly level: 'debug' | 'warn';
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

function newPool(options: Partial<PoolOptions> = {}): { pool: SqlitePool; lines: Line[] } {
  const lines: Line[] = [];
  const to = (level: Line['level']) => (fields: object, message: string) =>
    void lines.push({ level, fields: fields as Line['fields'], message });
  const logger = { debug: to('debug'), warn: to('warn') };
  const pool = createPool({ filename: ':memory:', logger, ...options });
  onTestFinished(() => pool.close());
  return { pool, lines };
}

describe('a logger', () => {
  it('gets a slow statement, with where the time went and without its values', async () => {
    const { pool, lines } = newPool({ slowStatementMs: 0, poolName: 'main' });
    await pool.get('SELECT ? AS x', ['a-bound-value']);
    expect(lines).toMatchObject([
      {
        level: 'warn',
        message: expect.stringContaining('SELECT ? AS x') as string,
        fields: {
          code: 'SQLITE_POOL_SLOW',
          pool: 'main',
          sql: 'SELECT ? AS x',
          rows: 1,
          durationMs: expect.any(Number) as number,
          waitMs: expect.any(Number) as number,
          lockMs: 0,
          runMs: expect.any(Number) as number,
        },
      },
    ]);
    expect(JSON.stringify(lines)).not.toContain('a-bound-value');
  });

  it('gets no statement that was fast enough, and none without slowStatementMs', async () => {
    for (const options of [{ slowStatementMs: 60_000 }, {}, { slowStatementMs: null }]) {
      const { pool, lines } = newPool(options);
      await pool.get('SELECT 1');
      expect(lines).toEqual([]);
    }
  });

  it('gets a statement that was slow and failed, with the code of the error', async () => {
    const { pool, lines } = newPool({ slowStatementMs: 0 });
    await pool.get('SELECT * FROM nowhere').catch(() => undefined);
    expect(lines).toMatchObject([{ fields: { errorCode: 'SQLITE_ERROR' } }]);
  });

  it('gets the connections that the pool retires, at debug', async () => {
    const { pool, lines } = newPool();
    await pool.open();
    await pool.close();
    expect(lines).toMatchObject([{ level: 'debug', fields: { reason: 'closed' } }]);
  });

  it('is optional: a slow statement is then a warning of the process', async () => {
    const pool = createPool({ filename: ':memory:', slowStatementMs: 0 });
    onTestFinished(() => pool.close());
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    await pool.get('SELECT 1');
    expect(await warned).toMatchObject({ name: 'SqlitePoolWarning', code: 'SQLITE_POOL_SLOW' });
  });

  it('that throws fails no call, and keeps no connection: its error is a warning of the process', async () => {
    const fails = (): void => {
      throw new Error('The disk of the log is full.');
    };
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const { pool } = newPool({ slowStatementMs: 0, logger: { debug: fails, warn: fails } });
    await pool.run('CREATE TABLE t (n)');
    expect(await pool.run('INSERT INTO t VALUES (1)')).toMatchObject({ changes: 1 });
    await pool.connection((lease) => lease.discard());
    await pool.close();
    expect(pool.stats()).toMatchObject({ size: 0, evictions: { discarded: 1 } });
    expect(await warned).toMatchObject({
      code: 'SQLITE_POOL_LOGGER_FAILED',
      message: expect.stringContaining('The disk of the log is full.') as string,
    });
  });

  it('must have debug() and warn()', () => {
    for (const logger of [{}, { warn: () => undefined }, null, 'console'])
      expect(() => createPool({ filename: ':memory:', logger: logger as never })).toThrow('Option logger');
    expect(() => createPool({ filename: ':memory:', poolName: '' })).toThrow('Option poolName');
  });
});
