import { readFile } from 'node:fs/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import type { SqlitePool } from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD } from '../../../../../conformance/libsql-server.ts';
import { Network } from './network.ts';
import { poolOf, serverOf, WIRES } from './servers.ts';

/** Long enough that no answer comes between two requests of one hop. */
const DELAY_MS = 5;
const WRITES = 16;

const docs = await readFile(new URL('../../../../../docs/beyond-one-machine.md', import.meta.url), 'utf8');

describe.skipIf(SQLD === undefined).for(WIRES)('round trips to a libSQL server, over %s', (wire) => {
  let network: Network;
  let pool: SqlitePool;

  beforeEach(async () => {
    network = await Network.to((await serverOf()).port, DELAY_MS);
    pool = poolOf(libsql({ url: network.urlOf(wire) }), { poolSize: 4 });
    await pool.script(
      'CREATE TABLE t (n INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)',
    );
    // Connections are there before it is counted.
    await Promise.all([1, 2, 3, 4].map(() => pool.get('SELECT 1')));
  });

  /** Counted on the wire. */
  const trips = async (work: () => Promise<unknown>): Promise<number> => {
    const before = network.trips;
    await work();
    return network.trips - before;
  };

  const expectTrips = async (call: string, count: number, work: () => Promise<unknown>): Promise<void> => {
    expect(await trips(work), call).toBe(count);
    expect(docs).toContain(`| ${call} | ${String(count)} |`);
  };

  test('are as many as docs/beyond-one-machine.md says', async () => {
    await expectTrips('`get`', 1, () => pool.get('SELECT v FROM t WHERE n = ?', [1]));
    await expectTrips('`all`', 1, () => pool.all('SELECT n FROM t'));
    await expectTrips('`run`', 1, () => pool.run('INSERT INTO t VALUES (:n, :v)', { n: 4, v: 0 }));
    await expectTrips('`script` of any length', 1, () =>
      pool.script('UPDATE t SET v = 1; UPDATE t SET v = 2; DELETE FROM t WHERE n = 4'),
    );
    await expectTrips('`batch` of any length', 1, () =>
      pool.batch([['UPDATE t SET v = 3 WHERE n = 1'], ['UPDATE t SET v = 3 WHERE n = 2']]),
    );
    await expectTrips('`transaction` with two statements', 3, () =>
      pool.transaction(async (tx) => {
        await tx.run('UPDATE t SET v = 4 WHERE n = 1');
        await tx.run('UPDATE t SET v = 4 WHERE n = 2');
      }),
    );
    await expectTrips('`transaction` without a statement', 0, () =>
      pool.transaction(() => Promise.resolve()),
    );
    await expectTrips('`transaction` with one statement, rolled back', 2, () =>
      pool
        .transaction(async (tx) => {
          await tx.run('DELETE FROM t');
          throw new Error('no');
        })
        .catch(() => undefined),
    );
    await expectTrips('the end of the pool', 0, () => pool.close());
  });

  test('are two until the first row of a cursor, besides those that open its connection', async () => {
    const connecting = await trips(() => poolOf(libsql({ url: network.urlOf(wire) })).open());
    const rows = pool.iterate('SELECT n FROM t');
    const first = await trips(() => rows.next());
    // Over HTTP the cursor comes with its rows.
    expect(first - connecting).toBe(wire === 'ws' ? 2 : 1);
    await rows.return?.();
    expect(docs).toContain('| `iterate` | opens a connection of its own, and then 2 until the first row |');
  });

  test.for(['INSERT INTO t (v) VALUES (?)', 'UPDATE t SET v = v + ?'])(
    'are few for many writes at once: %s',
    async (sql) => {
      const count = await trips(() =>
        Promise.all(Array.from({ length: WRITES }, (_, n) => pool.run(sql, [n]))),
      );
      expect(count).toBeLessThanOrEqual(4);
    },
  );
});
