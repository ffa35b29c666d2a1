import { setImmediate as onTick } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { poolOf, valuesOf } from './helpers.ts';
import { count, group, inserts } from './together.ts';

const INSERT = 'INSERT INTO t (v) VALUES (?)';

const numbers = (length: number): number[] => Array.from({ length }, (_, n) => n);

test('callers that write again after their acknowledgement share a COMMIT again', async () => {
  const { pool, together } = await group();
  const twice = Array.from({ length: 32 }, (_, n) => async () => {
    for (const v of [n, n + 100]) await pool.run('INSERT INTO t (v) VALUES (?)', [v]);
  });
  const { ends, texts } = await together(twice);
  expect(ends.every(({ status }) => status === 'fulfilled')).toBe(true);
  expect(await valuesOf(pool)).toHaveLength(64);
  expect([count(texts, 'COMMIT'), count(texts, 'ROLLBACK')]).toEqual([2, 0]);
});

test('a call that writes after a group hears of it after the last of the group, in whatever way it is done', async () => {
  for (const groupCommit of [true, false]) {
    const { pool, together } = await group(undefined, { groupCommit });
    const lease = await pool.acquire();
    const told: string[] = [];
    const note = (name: string, write: Promise<unknown>) => write.then(() => told.push(name));
    const [first, ...others] = inserts(pool, numbers(30)).map((write) => () => note('group', write()));
    let later: Promise<unknown> | undefined;
    const { ends } = await together([
      () => first!().then(() => (later = note('lease', lease.run(INSERT, [400])))),
      ...others,
      () =>
        note(
          'batch',
          pool.batch([
            [INSERT, [100]],
            [INSERT, [101]],
          ]),
        ),
      () =>
        note(
          'transaction',
          pool.transaction((tx) => tx.run(INSERT, [200])),
        ),
      () => note('schema', pool.run('CREATE TABLE u (x)')),
      () => note('script', pool.script('INSERT INTO t (v) VALUES (300)')),
    ]);
    await later;
    expect(ends.filter(({ status }) => status === 'rejected')).toEqual([]);
    // With groupCommit: false the lease is not behind them: each acquires the write lock alone, and the lease asks after the first.
    const rest = ['batch', 'transaction', 'schema', 'script', 'lease'];
    expect(told.filter((name) => name !== 'lease').slice(0, 30)).toEqual(
      Array.from({ length: 30 }, () => 'group'),
    );
    if (groupCommit) expect(told.slice(30).sort()).toEqual(rest.sort());
    await lease.release();
  }
});

test('while callers get their results, no later caller overtakes a lease that waits for the write lock', async () => {
  const { pool, together } = await group();
  // So that no connection has to be opened meanwhile: for the one who writes first, the groups, and the lease.
  const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire()));
  const lease = leases.pop()!;
  for (const other of leases) await other.release();
  const later: Promise<unknown>[] = [];
  const [first, ...others] = inserts(pool, numbers(32));
  await together([
    async () => {
      await first?.();
      later.push(pool.run(INSERT, ['before']));
      await onTick();
      later.push(lease.run(INSERT, ['lease']));
      await onTick();
      later.push(pool.run(INSERT, ['after']));
    },
    ...others,
  ]);
  await Promise.all(later);
  expect((await valuesOf(pool)).slice(32)).toEqual(['before', 'lease', 'after']);
  await lease.release();
});

test('a pool that is closed while it acknowledges writes keeps every write that it has acknowledged, and no other', async () => {
  const { pool, filename, together } = await group();
  const written: number[] = [];
  const write = async (n: number): Promise<void> => {
    await pool.run(INSERT, [n]);
    written.push(n);
  };
  const twice = numbers(32).map((n) => async () => {
    await write(n);
    if (n === 7) setImmediate(() => void pool.close());
    await write(n + 100);
  });
  const { ends } = await together(twice);
  await pool.close();
  for (const end of ends)
    if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'POOL_CLOSED' });
  expect(written.filter((n) => n < 100)).toEqual(numbers(32));
  const kept = await valuesOf(poolOf({ filename }));
  expect([...kept].sort()).toEqual([...written].sort());
});
