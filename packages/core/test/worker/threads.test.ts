import { describe, expect, test, vi } from 'vitest';
import { fromDriver } from '../../src/driver-errors.ts';
import type { Connection } from '../../src/driver.ts';
import { nodeSqlite } from '../../src/node-sqlite.ts';
import { BINDINGS, connect, counting, INSERT, newFile, read, READ, run } from './helpers.ts';

/** Takes a good part of a second. */
const LONG = counting(1_500_000);

/** The threads that connections are on, as they tell by waiting for each other or not. */
async function wasBeforeLong(connection: Connection, long: Promise<unknown>): Promise<boolean> {
  let over = false;
  void long.then(() => (over = true));
  await read(connection, 'SELECT 1');
  return !over;
}

describe.for(BINDINGS)('the threads of the driver %s', ([, make]) => {
  test('are shared by connections, and another is started only while one is stuck', async () => {
    const driver = make({ filename: await newFile(), threads: 2 });
    const first = await connect(driver);
    const second = await connect(driver);
    const long = read(first, LONG);
    // Behind it, on the same thread.
    expect(await wasBeforeLong(second, long)).toBe(false);
    const again = read(first, LONG);
    await vi.waitFor(() => expect(second.stuck).toBe(true), { interval: 5 });
    expect(first.stuck).toBe(false);
    const third = await connect(driver);
    expect(await wasBeforeLong(third, again)).toBe(true);
    await again;
    // There are only two, and both are stuck: the next one waits for one of them.
    const both = [read(first, LONG), read(third, LONG)];
    await vi.waitFor(() => expect([second.stuck, third.stuck]).toEqual([true, false]), { interval: 5 });
    const fourth = await driver.open();
    await Promise.all(both);
    expect(second.stuck).toBe(false);
    await fourth.close();
  });

  test('do not count as stuck because this thread has not looked', async () => {
    const driver = make({ filename: ':memory:', threads: 2 });
    const connection = await connect(driver);
    const answer = read(connection, 'SELECT 1');
    await new Promise(process.nextTick);
    const until = performance.now() + 100;
    while (performance.now() < until);
    const other = await connect(driver);
    expect(other.stuck).toBe(false);
    await answer;
  });

  test('a call that has not begun can be taken back, and has done nothing', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const first = await connect(driver);
    const second = await connect(driver);
    await run(first, 'CREATE TABLE t (n)');
    const long = read(first, LONG);
    await vi.waitFor(() => expect(second.stuck).toBe(true), { interval: 5 });
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

  test('a call that is taken back before it is sent has done nothing', async () => {
    const connection = await connect(make({ filename: ':memory:', threads: 1 }));
    const create = connection.execute('CREATE TABLE t (n)', [], INSERT);
    expect(connection.withdraw?.()).toBe(true);
    await expect(create).rejects.toMatchObject({ code: 'SQLITE_INTERRUPT' });
    await expect(read(connection, 'SELECT * FROM t')).rejects.toThrow('no such table');
  });

  test('of many calls that are taken back at any moment, each has either rejected or been done', async () => {
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
