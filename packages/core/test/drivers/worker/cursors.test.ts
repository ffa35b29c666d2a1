import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Row } from '../../../src/driver.ts';
import { ALL_WAYS, BINDINGS, connect, counting, INSERT, newFile, read, run } from './helpers.ts';

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c';

describe.for(ALL_WAYS)('a cursor of the driver %s', ([, make]) => {
  const open = async () => await connect(make({ filename: await newFile(), threads: 1 }));

  async function rowsOf(
    rows: AsyncIterator<Row, unknown, undefined> | undefined,
    most = Infinity,
  ): Promise<Row[]> {
    const taken: Row[] = [];
    while (taken.length < most) {
      const step = await rows?.next();
      if (step === undefined || step.done === true) break;
      taken.push(step.value);
    }
    return taken;
  }

  test('reads rows in chunks, each on demand', async () => {
    const connection = await open();
    const rows = connection.iterate?.(`${ENDLESS} WHERE x > ?`, [5]);
    const taken = await rowsOf(rows, 1000);
    expect(taken.map(({ x }) => x)).toEqual(Array.from({ length: 1000 }, (_, at) => at + 6));
    await rows?.return?.();
    expect(await rowsOf(connection.iterate?.(`${ENDLESS} LIMIT 1000`, []))).toHaveLength(1000);
  });

  test('ends a chunk early when its rows are slow', async () => {
    const connection = await open();
    const slow = `SELECT x, (SELECT count(*) FROM (${ENDLESS} LIMIT 50000) AS many WHERE many.x > few.x) FROM (${ENDLESS} LIMIT 40) AS few`;
    const rows = connection.iterate?.(slow, []);
    // The first row comes alone in any case.
    await rowsOf(rows, 1);
    const begun = performance.now();
    await rowsOf(rows, 1);
    const first = performance.now() - begun;
    await rowsOf(rows);
    expect(performance.now() - begun).toBeGreaterThan(first * 4);
  });

  test('is exact, and names its columns', async () => {
    const connection = await open();
    const rows = await rowsOf(
      connection.iterate?.('SELECT ? AS big, 2 AS "__proto__", :a', [2n ** 60n + 1n, 'x']),
    );
    expect(rows.map((row) => Object.entries(row))).toEqual([
      [
        ['big', 2n ** 60n + 1n],
        ['__proto__', 2],
        [':a', 'x'],
      ],
    ]);
  });

  test('lets the body of its loop read and write on the same connection', async () => {
    const connection = await open();
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1), (2)', 'CREATE TABLE u (n)');
    const rows = connection.iterate?.('SELECT n FROM t', []);
    await rowsOf(rows, 1);
    await connection.execute('INSERT INTO u VALUES (?)', [1], INSERT);
    const other = connection.iterate?.('SELECT n FROM u', []);
    await rowsOf(other, 1);
    await other?.return?.();
    await connection.execute('INSERT INTO u VALUES (?)', [2], INSERT);
    expect(await rowsOf(rows)).toEqual([{ n: 2 }]);
    expect((await read(connection, 'SELECT count(*) AS n FROM u')).rows).toEqual([{ n: 2 }]);
  });

  test('that fails in the middle has ended', async () => {
    const connection = await open();
    const rows = connection.iterate?.(
      `SELECT abs(CASE x WHEN 100 THEN -9223372036854775808 ELSE x END) FROM (${ENDLESS})`,
      [],
    );
    await expect(rowsOf(rows)).rejects.toThrow('integer overflow');
    expect(await rows?.next()).toEqual({ value: undefined, done: true });
    await run(connection, 'CREATE TABLE t (n)', 'DROP TABLE t');
  });

  test('does not keep its connection from being closed', async () => {
    const connection = await open();
    await rowsOf(connection.iterate?.(ENDLESS, []), 1);
    await expect(connection.close()).resolves.toBeUndefined();
  });
});

// On a thread that is busy, and takes a call later.
test.for(BINDINGS)(
  'a cursor of the driver %s is closed, however often its step is cancelled',
  async ([, make]) => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const [connection, other] = [await connect(driver), await connect(driver)];
    await run(connection, 'CREATE TABLE t (n)', 'INSERT INTO t VALUES (1), (2)');
    await read(other, 'SELECT 1');
    const rows = connection.iterate?.('SELECT n FROM t', []);
    await rows?.next();
    const busy = read(other, counting(500_000));
    const step = expect(rows?.next()).rejects.toThrow('interrupted');
    await setImmediate();
    expect(connection.withdraw?.()).toBe(true);
    await setImmediate();
    expect(connection.withdraw?.()).toBe(false);
    await busy;
    await step;
    // SQLite refuses it while a cursor is open.
    await run(connection, 'DROP TABLE t');
  },
);
