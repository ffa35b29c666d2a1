import { mkdtemp, rm, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RequestLease } from '../../src/plugin.ts';
import { createPool, type SqlitePool } from '../../src/index.ts';
import { fakeClock, fakeDriver } from '../../src/testing/index.ts';

async function newPool(): Promise<{ pool: SqlitePool; filename: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-health-'));
  const filename = join(folder, 'app.db');
  const pool = createPool({ filename });
  onTestFinished(async () => {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  });
  await pool.script('CREATE TABLE t (n)');
  return { pool, filename };
}

const unhealthy = { code: 'UNHEALTHY', statusCode: 503 };

describe('pool.health()', () => {
  it('resolves to a small object while the database answers, also as the first use of a pool', async () => {
    const { pool } = await newPool();
    expect(await pool.health()).toEqual({
      status: 'ok',
      pool: 'app.db',
      latencyMs: expect.any(Number) as number,
      writable: undefined,
    });
    const memory = createPool({ filename: ':memory:' });
    onTestFinished(() => memory.close());
    expect(await memory.health({ write: true })).toMatchObject({ status: 'ok', writable: true });
  });

  it('rejects with a 503 when the file was deleted, although SQLite still reads it', async () => {
    const { pool, filename } = await newPool();
    await unlink(filename);
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
    await expect(pool.health()).rejects.toMatchObject(unhealthy);
  });

  it('rejects in time when a writer does not end, if it is asked for the write lock', async () => {
    const { pool } = await newPool();
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    expect(await pool.health()).toMatchObject({ status: 'ok' });
    await expect(pool.health({ write: true, timeoutMs: 20 })).rejects.toMatchObject(unhealthy);
    await lease.release();
    expect(await pool.health({ write: true })).toMatchObject({ writable: true });
    expect(pool.stats().writersWaiting).toBe(0);
  });

  it('rejects in time when a writer of another process does not end, if it is asked for the write lock', async () => {
    const { pool, filename } = await newPool();
    // To the pool, a connection that it does not know is like one of another process.
    const other = new DatabaseSync(filename);
    onTestFinished(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    expect(await pool.health()).toMatchObject({ status: 'ok' });
    await expect(pool.health({ write: true, timeoutMs: 20 })).rejects.toMatchObject(unhealthy);
    other.exec('ROLLBACK');
    expect(await pool.health({ write: true })).toMatchObject({ writable: true });
    expect(pool.stats()).toMatchObject({ writersWaiting: 0, writerHeld: false });
  });

  it('rejects in time when a call of the driver does not return', async () => {
    const clock = fakeClock();
    const driver = fakeDriver({ execute: { 1: 'hang' } });
    const pool = createPool({ driver, clock, closeTimeoutMs: 0 });
    onTestFinished(async () => {
      driver.call('execute').resolve();
      await pool.close();
    });
    const checked = expect(pool.health({ timeoutMs: 20 })).rejects.toMatchObject(unhealthy);
    await clock.advance(20);
    await checked;
  });

  it('rejects in time when every connection is taken', async () => {
    const { pool } = await newPool();
    const leases = await Promise.all(Array.from({ length: 10 }, () => pool.acquire()));
    await expect(pool.health({ timeoutMs: 20 })).rejects.toMatchObject(unhealthy);
    await Promise.all(leases.map((lease) => lease.release()));
    expect(pool.stats().waiting).toBe(0);
  });

  it('rejects when the pool is closed', async () => {
    const { pool } = await newPool();
    await pool.close();
    await expect(pool.health()).rejects.toMatchObject(unhealthy);
  });

  it('refuses options that it does not know', async () => {
    const { pool } = await newPool();
    for (const options of [{ writes: true }, { write: 1 }, { timeoutMs: 0 }, null])
      await expect(pool.health(options as object)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('pool.explain()', () => {
  it('resolves to the plan of a statement, with parameters of every kind, and does not run it', async () => {
    const { pool } = await newPool();
    const plan = await pool.explain('SELECT * FROM t WHERE n = ? AND n > :from');
    expect(plan).toEqual([{ id: expect.any(Number) as number, parent: 0, detail: 'SCAN t' }]);
    await pool.explain('DELETE FROM t WHERE n = ?');
    await pool.run('INSERT INTO t VALUES (1)');
    await pool.explain('DELETE FROM t');
    expect(await pool.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
  });

  it('refuses everything but one statement that reads or changes rows', async () => {
    const { pool } = await newPool();
    for (const sql of [
      'BEGIN',
      'PRAGMA user_version',
      'CREATE TABLE u (n)',
      'EXPLAIN SELECT 1',
      '/* a comment */ PRAGMA user_version',
      'SELECT 1; SELECT 2',
      '',
    ])
      await expect(pool.explain(sql), sql).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('pool.inspect()', () => {
  it('says what each connection does, and never a value', async () => {
    const { pool } = await newPool();
    const { queryChannel, releaseChannel } = await import('../../src/channels.ts');
    const listener = (): void => undefined;
    const subscribers = {
      start: listener,
      end: listener,
      asyncStart: listener,
      asyncEnd: listener,
      error: listener,
    };
    queryChannel.subscribe(subscribers);
    releaseChannel.subscribe(listener);
    onTestFinished(() => {
      queryChannel.unsubscribe(subscribers);
      releaseChannel.unsubscribe(listener);
    });
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    await lease.run('INSERT INTO t VALUES (?)', ['a-bound-value']);
    const waits = pool.run('DELETE FROM t WHERE n = ?', ['a-bound-value']);
    const { connections, ...pools } = pool.inspect();
    expect(pools).toMatchObject({
      poolName: 'app.db',
      database: 'app.db',
      driver: 'node:sqlite',
      limits: { poolSize: 10 },
    });
    expect(connections.find(({ holdsWriteLock }) => holdsWriteLock)).toMatchObject({
      state: 'leased',
      inTransaction: true,
      reading: 'a transaction',
      lease: { heldMs: expect.any(Number) as number, request: undefined },
    });
    expect(new Set(connections.map(({ id }) => id)).size).toBe(connections.length);
    expect(JSON.stringify({ connections, pools })).not.toContain('a-bound-value');
    await lease.run('ROLLBACK');
    await lease.release();
    await waits;
  });

  it('names the request of a lease and of a call, without its logger: a page shows it', async () => {
    const { pool } = await newPool();
    const { queryChannel } = await import('../../src/channels.ts');
    const listener = (): void => undefined;
    queryChannel.start.subscribe(listener);
    onTestFinished(() => {
      queryChannel.start.unsubscribe(listener);
    });
    const log = { debug: listener, warn: listener, self: {} };
    log.self = log;
    const request = { id: 'req-1', route: 'GET /' };
    const lease = new RequestLease(pool, {
      mode: 'request',
      disconnectGraceMs: 1000,
      method: 'GET',
      request: () => ({ ...request, log }),
    });
    await lease.connection(async (connection) => {
      const read = connection.get('SELECT 1');
      const [shown] = JSON.parse(JSON.stringify(pool.inspect().connections)) as unknown[];
      expect(shown).toMatchObject({ lease: { request }, query: { request } });
      await read;
    });
    lease.respond();
  });
});
