import { readdir, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { fromDriver } from '../../../src/driver-errors.ts';
import type { Connection, ExecuteHint } from '../../../src/driver.ts';
import { Line } from '../../../src/drivers/worker/line.ts';
import { nodeSqlite } from '../../../src/drivers/worker/node-sqlite.ts';
import { BINDINGS, connect, counting, INSERT, newFile, OTHER, read, READ, run } from './helpers.ts';

const setup = new URL('./children/setup.ts', import.meta.url);

/** Takes a good part of a second. */
const LONG = counting(1_500_000);

/** Any handle will do for it. */
const UNLEASED: ExecuteHint = { ...READ, unleased: true };

async function readAnywhere(connection: Connection, sql: string): Promise<unknown> {
  return (await connection.execute(sql, [], UNLEASED)).rows;
}

/** Runs a statement that is not known to be long, and calls on other connections until one has had its answer before it. */
async function overtake(long: Promise<unknown>, others: readonly Connection[]): Promise<void> {
  const state = { over: false };
  void long.then(() => (state.over = true));
  await new Promise(setImmediate);
  await Promise.all(others.map((other) => readAnywhere(other, 'SELECT 1')));
  expect(state.over).toBe(false);
  await long;
}

describe.for(BINDINGS)('the threads of the driver %s', ([, make]) => {
  test('calls that any handle will do for are taken from behind a slow statement', async () => {
    const driver = make({ filename: await newFile(), threads: 2 });
    const first = await connect(driver);
    const others = await Promise.all(Array.from({ length: 4 }, () => connect(driver)));
    await overtake(readAnywhere(first, LONG), others);
    // It is known to be long now, and goes out of the way.
    await overtake(readAnywhere(first, LONG), others);
    // The same while it is on a handle of its own.
    await overtake(read(first, LONG), others);
  });

  test('a caller that makes one call after another lets the event loop go on', async () => {
    const connection = await connect(make({ filename: await newFile(), threads: 1 }));
    await read(connection, 'SELECT 1');
    const calls = 80;
    const later = vi.spyOn(globalThis, 'setImmediate');
    for (let call = 0; call < calls; call += 1) await read(connection, 'SELECT 1');
    expect(later.mock.calls.length).toBeGreaterThanOrEqual(calls / 8);
  });

  test('what a connection has for itself is seen by nothing else, and what it shares is', async () => {
    const driver = make({ filename: await newFile(), threads: 2 });
    const first = await connect(driver);
    const second = await connect(driver);
    await first.execute('CREATE TABLE t (n)', [], { ...OTHER, unleased: true });
    await run(first, 'BEGIN IMMEDIATE', 'INSERT INTO t VALUES (1)');
    expect(first.inTransaction()).toBe(true);
    expect(await readAnywhere(first, 'SELECT n FROM t')).toEqual([]);
    expect(await readAnywhere(second, 'SELECT n FROM t')).toEqual([]);
    await run(first, 'COMMIT');
    expect(await readAnywhere(second, 'SELECT n FROM t')).toEqual([{ n: 1 }]);
    await first.close();
    expect(await readAnywhere(second, 'SELECT n FROM t')).toEqual([{ n: 1 }]);
    const batch = [{ sql: 'INSERT INTO t VALUES (2)', params: [], hint: { ...INSERT, unleased: true } }];
    expect(await second.batch?.(batch, 'continue')).toMatchObject([{ status: 'done' }]);
    // Nobody's transaction stays open on a shared handle.
    await second.execute('BEGIN IMMEDIATE', [], { ...OTHER, unleased: true });
    await run(second, 'INSERT INTO t VALUES (3)');
    expect(await readAnywhere(second, 'SELECT count(*) AS n FROM t')).toEqual([{ n: 3 }]);
  });

  test('F73 the handles of a connection are closed one after the other, so that the last one writes the WAL back', async () => {
    const { end } = Line.prototype;
    let closing = 0;
    let most = 0;
    const ends = vi.spyOn(Line.prototype, 'end').mockImplementation(async function (this: Line) {
      closing += 1;
      most = Math.max(most, closing);
      await end.call(this);
      closing -= 1;
    });
    const filename = await newFile();
    const connection = await make({ filename, threads: 2 }).open();
    // The second time it is known to be long, and gets a thread of its own.
    for (let times = 0; times < 2; times += 1) await readAnywhere(connection, LONG);
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1)');
    await connection.close();
    expect(most).toBe(1);
    expect(ends).toHaveBeenCalledTimes(3);
    expect(await readdir(dirname(filename))).toEqual([basename(filename)]);
  });

  test('a handle that is opened late is of the same file, or the connection is broken', async () => {
    const filename = await newFile();
    const driver = make({ filename, threads: 2 });
    const first = await connect(driver);
    expect(await readAnywhere(first, 'SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await rename(filename, `${filename}.old`);
    const other = await connect(make({ filename }));
    await expect(read(first, 'SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect([first.broken, other.broken]).toEqual([true, false]);
  });

  test('a call that waits for its handle to be opened can be withdrawn', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const create = connection.execute('CREATE TABLE t (n)', [], OTHER);
    expect(connection.withdraw?.()).toBe(true);
    await expect(create).rejects.toMatchObject({ code: 'SQLITE_INTERRUPT' });
    expect((await read(connection, 'SELECT count(*) AS n FROM sqlite_schema')).rows).toEqual([{ n: 0 }]);
  });

  test('a shared handle that may be of no use is replaced', async () => {
    const driver = make({ filename: await newFile(), threads: 1, setup });
    const first = await connect(driver);
    const second = await connect(driver);
    await first.execute('CREATE TABLE t (n)', [], { ...OTHER, unleased: true });
    const again = (connection: Connection) => readAnywhere(connection, 'SELECT count(*) AS n FROM prepared');
    await first.execute('INSERT INTO prepared VALUES (1)', [], { ...INSERT, unleased: true });
    expect(await again(second)).toEqual([{ n: 1 }]);
    await expect(readAnywhere(first, "ATTACH '/nowhere/a.db' AS a")).rejects.toThrow('unable to open');
    expect([await again(first), await again(second)]).toEqual([[{ n: 0 }], [{ n: 0 }]]);
  });

  test('a call that has not begun can be withdrawn, and has done nothing', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const first = await connect(driver);
    const second = await connect(driver);
    const third = await connect(driver);
    await run(first, 'CREATE TABLE t (n)');
    for (const connection of [second, third]) await read(connection, 'SELECT 1');
    const short = read(third, 'SELECT 1');
    const long = read(first, LONG);
    // The answers go when it begins.
    await short;
    const insert = second.execute('INSERT INTO t VALUES (?)', [1], INSERT);
    // It is sent, and its thread is busy.
    await new Promise(setImmediate);
    expect(second.withdraw?.()).toBe(true);
    const error = await insert.catch((reason: unknown) => fromDriver(reason));
    expect(error).toMatchObject({ sqliteCode: 'SQLITE_INTERRUPT' });
    // The text that the call had brought is known to its thread all the same.
    const next = second.execute('INSERT INTO t VALUES (?)', [2], INSERT);
    expect(first.withdraw?.()).toBe(false);
    await Promise.all([long, next]);
    expect((await read(first, 'SELECT n FROM t')).rows).toEqual([{ n: 2 }]);
    expect([first.withdraw?.(), second.withdraw?.()]).toEqual([false, false]);
  });

  test('a call that is withdrawn before it is sent has done nothing', async () => {
    const connection = await connect(make({ filename: ':memory:', threads: 1 }));
    const create = connection.execute('CREATE TABLE t (n)', [], INSERT);
    expect(connection.withdraw?.()).toBe(true);
    await expect(create).rejects.toMatchObject({ code: 'SQLITE_INTERRUPT' });
    await expect(read(connection, 'SELECT * FROM t')).rejects.toThrow('no such table');
  });

  test('of many calls that are withdrawn at any moment, each has either rejected or been done', async () => {
    const connection = await connect(make({ filename: ':memory:', threads: 1 }));
    await run(connection, 'CREATE TABLE t (n)');
    let done = 0;
    for (let n = 0; n < 300; n += 1) {
      const insert = connection.execute('INSERT INTO t VALUES (?)', [n], INSERT);
      const until = performance.now() + (n % 10) * 0.02;
      await new Promise(process.nextTick);
      while (performance.now() < until);
      connection.withdraw?.();
      done += await insert.then(
        () => 1,
        () => 0,
      );
    }
    expect((await read(connection, 'SELECT count(*) AS n FROM t')).rows).toEqual([{ n: done }]);
  });

  test('answers do not wait for a statement that is not known to be short', async () => {
    const driver = make({ filename: ':memory:', threads: 1 });
    const first = await connect(driver);
    const second = await connect(driver);
    await read(first, 'SELECT 1');
    const order: string[] = [];
    const short = read(first, 'SELECT 1').then(() => order.push('short'));
    const long = read(second, LONG).then(() => order.push('long'));
    await short;
    expect(order).toEqual(['short']);
    await long;
  });

  test('many calls at once come back to their callers', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connections = await Promise.all(Array.from({ length: 20 }, () => driver.open()));
    for (let round = 0; round < 20; round += 1) {
      const sql = `SELECT ? AS n, ${String(round)} AS round`;
      const results = await Promise.all(
        connections.map((connection, n) => connection.execute(sql, [n], READ)),
      );
      expect(results.map(({ rows }) => rows)).toEqual(connections.map((_, n) => [{ n, round }]));
    }
    await Promise.all(connections.map((connection) => connection.close()));
  });
});

test('a number of threads that cannot work is refused', () => {
  for (const threads of [0, 1.5, Number.NaN, Infinity])
    expect(() => nodeSqlite({ filename: ':memory:', threads })).toThrow(
      'threads must be a whole number from 1',
    );
});
