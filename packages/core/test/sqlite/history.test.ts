import { expect, test } from 'vitest';
import { Child, poolOf, temporaryFile } from './helpers.ts';

const ACCOUNTS = 10;
const CENTS_EACH = 1000;
const PROCESSES = 3;

test('F34 F35 several processes that transfer money keep the sum at every moment, and every acknowledged transfer', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename });
  await pool.script(
    'CREATE TABLE accounts (id INTEGER PRIMARY KEY, cents INTEGER CHECK (cents >= 0)); CREATE TABLE transfers (id TEXT PRIMARY KEY)',
  );
  for (let id = 0; id < ACCOUNTS; id += 1)
    await pool.run('INSERT INTO accounts VALUES (?, ?)', [id, CENTS_EACH]);

  const children = Array.from({ length: PROCESSES }, (_, n) => new Child('bank.ts', [filename, String(n)]));
  const done = new AbortController();
  const reports = Promise.all(children.map((child) => child.next())).finally(() => {
    done.abort();
  });
  const sums = new Set<unknown>();
  while (!done.signal.aborted) {
    const sum = await pool.transaction(
      async (tx) => {
        let total = 0;
        for (let id = 0; id < ACCOUNTS; id += 1) {
          total += (await tx.get<{ cents: number }>('SELECT cents FROM accounts WHERE id = ?', [id]))!.cents;
        }
        return total;
      },
      { mode: 'deferred' },
    );
    sums.add(sum);
  }
  expect([...sums]).toEqual([ACCOUNTS * CENTS_EACH]);

  const acknowledged = (await reports).flatMap((ids) => ids as string[]);
  const stored = await pool.all<{ id: string }>('SELECT id FROM transfers');
  expect(stored.map(({ id }) => id).toSorted()).toEqual(acknowledged.toSorted());
  expect(acknowledged.length).toBeGreaterThan(PROCESSES);
});
