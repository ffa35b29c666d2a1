import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createPool, type PoolOptions, type SqlitePool } from '../../../src/index.ts';
import { RequestLease } from '../../../src/plugin.ts';
import { BINDINGS, connect, counting, newFile, OTHER, read, run } from './helpers.ts';

const LONG = counting(1_500_000);

describe.for(BINDINGS)('a pool on the driver %s', ([name, make]) => {
  const open = async (options: Partial<PoolOptions> = {}, threads = 1): Promise<SqlitePool> => {
    const pool = createPool({ driver: make({ filename: await newFile(), threads }), ...options });
    onTestFinished(() => pool.close());
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, n UNIQUE)');
    return pool;
  };

  test('reads, writes, and runs transactions', async () => {
    const pool = await open();
    const writes = Array.from({ length: 100 }, (_, n) => pool.run('INSERT INTO t (n) VALUES (:n)', { n }));
    expect((await Promise.all(writes)).map(({ changes }) => changes)).toEqual(Array(100).fill(1));
    await expect(pool.run('INSERT INTO t (n) VALUES (?)', [7])).rejects.toMatchObject({
      sqliteCode: 'SQLITE_CONSTRAINT_UNIQUE',
    });
    const moved = pool.transaction(async (tx) => {
      await tx.run('DELETE FROM t WHERE n >= ?', [50]);
      return await tx.get('SELECT count(*) AS n FROM t');
    });
    expect(await moved).toEqual({ n: 50 });
    let sum = 0;
    for await (const { n } of pool.iterate<{ n: number }>('SELECT n FROM t')) sum += n;
    expect(sum).toBe(1225);
  });

  test('does not run a write that was cancelled while it waited for the thread', async () => {
    const pool = await open({ groupCommit: false });
    await pool.connection(async (lease) => {
      await pool.get('SELECT 1');
      const long = pool.get(LONG);
      const write = lease.run('INSERT INTO t (n) VALUES (1)', [], { timeoutMs: 20 });
      await expect(write).rejects.toMatchObject({ code: 'STATEMENT_TIMEOUT' });
      expect(await lease.get('SELECT count(*) AS n FROM t')).toEqual({ n: 0 });
      await long;
    });
  });

  test('serves the reads of requests beside the long statement of another request', async () => {
    const pool = await open({}, 2);
    const request = (): RequestLease =>
      new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'GET' });
    const [slow, ...others] = Array.from({ length: 5 }, request);
    // Each keeps a connection from now on.
    for (const db of [slow, ...others]) await db?.get('SELECT 1');
    const stop = new AbortController();
    const long = slow?.get(counting(5_000_000_000), [], { signal: stop.signal });
    const count = 'SELECT count(*) AS n FROM t';
    for (const db of others) expect(await db.get(count)).toEqual({ n: 0 });
    stop.abort(new Error('enough'));
    await expect(long).rejects.toThrow('enough');
  });

  test('runs the reads of a request where its transaction, its temporary table or its cursor is', async () => {
    const pool = await open({ poolSize: 3 }, 2);
    const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' });
    await db.run('BEGIN IMMEDIATE');
    await db.run('INSERT INTO t (n) VALUES (1)');
    expect(await db.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
    await db.run('COMMIT');
    for await (const _ of db.iterate('SELECT n FROM t')) {
      await pool.run('INSERT INTO t (n) VALUES (2)');
      // The cursor keeps its connection at the state of the file in which it began.
      expect(await db.get('SELECT count(*) AS n FROM t')).toEqual({ n: 1 });
    }
    await db.run('CREATE TEMP TABLE mine (n)');
    expect(await db.get('SELECT count(*) AS n FROM mine')).toEqual({ n: 0 });
    db.respond();
  });

  test('shows a request the rowid of its own INSERT, within connection() and after a COMMIT', async () => {
    const pool = await open({ poolSize: 3 }, 2);
    const request = (): RequestLease =>
      new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' });
    const last = 'SELECT last_insert_rowid() AS id, changes() AS changes';
    const db = request();
    await db.connection(async (connection) => {
      await db.run('INSERT INTO t (id) VALUES (5)');
      expect(await db.get(last)).toEqual({ id: 5, changes: 1 });
      await connection.run('INSERT INTO t (id) VALUES (6)');
      expect(await db.get(last)).toEqual({ id: 6, changes: 1 });
    });
    const other = request();
    await other.run('BEGIN IMMEDIATE');
    await other.run('INSERT INTO t (id) VALUES (7)');
    await other.run('COMMIT');
    expect(await other.get(last)).toEqual({ id: 7, changes: 1 });
    db.respond();
    other.respond();
  });

  test('gives up nothing of a file that another driver has open', async () => {
    const filename = await newFile();
    const pool = createPool({ driver: make({ filename }) });
    onTestFinished(() => pool.close());
    await pool.get('SELECT 1');
    const [, other] = BINDINGS.find(([another]) => another !== name) ?? [];
    const second = createPool({ driver: other?.({ filename }) });
    onTestFinished(() => second.close());
    await expect(second.get('SELECT 1')).rejects.toMatchObject({ code: 'DRIVER_CONFLICT' });
  });

  test('a script waits for the lock of another, statement by statement, and keeps no thread waiting', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const other = await connect(driver);
    await run(connection, 'CREATE TABLE t (n)');
    await run(other, 'BEGIN IMMEDIATE');
    const script = connection.script?.('SELECT 1; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)');
    for (let n = 0; n < 20; n += 1) await read(other, 'SELECT 1');
    await other.execute('COMMIT', [], OTHER);
    await script;
    expect((await read(connection, 'SELECT n FROM t')).rows).toEqual([{ n: 1 }, { n: 2 }]);
  });

  test('a script that waits for the lock of another can be cancelled', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const other = await connect(driver);
    await run(connection, 'CREATE TABLE t (n)');
    await run(other, 'BEGIN IMMEDIATE');
    const ended = connection.script?.('INSERT INTO t VALUES (1)').catch((error: unknown) => error);
    for (let n = 0; n < 5; n += 1) await read(other, 'SELECT 1');
    await vi.waitFor(() => expect(connection.withdraw?.()).toBe(true), { interval: 1 });
    expect(await ended).toMatchObject({ code: 'SQLITE_INTERRUPT' });
    await other.execute('COMMIT', [], OTHER);
    expect((await read(connection, 'SELECT n FROM t')).rows).toEqual([]);
  });

  test('a script waits no longer than its busy timeout', async () => {
    const driver = make({ filename: await newFile(), threads: 1, pragmas: { busy_timeout: 1 } });
    const connection = await connect(driver);
    const other = await connect(driver);
    await run(other, 'CREATE TABLE t (n)', 'BEGIN IMMEDIATE');
    await expect(connection.script?.('INSERT INTO t VALUES (1)')).rejects.toMatchObject({ errno: 5 });
  });
});
