import { expect, test } from 'vitest';
import type { BatchedStatement, Result } from '../../src/driver.ts';
import { complete } from '../../src/drivers/completed-connection.ts';

const NOTHING: Result = { rows: [], columns: [], changes: 0, lastInsertRowid: 0 };
const INSERT: BatchedStatement = {
  sql: 'INSERT INTO t VALUES (1)',
  params: [],
  hint: { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' },
};

test('a batch that is cancelled again while it is undone is undone, and its connection is good', async () => {
  const calls: string[] = [];
  let fail: ((error: Error) => void) | undefined;
  let undo: (() => void) | undefined;
  const connection = complete({
    execute: (sql) => {
      calls.push(sql);
      if (sql !== INSERT.sql) return Promise.resolve(NOTHING);
      return new Promise((_, reject) => (fail = reject));
    },
    rollback: () => {
      calls.push('rollback');
      return new Promise((resolve) => (undo = resolve));
    },
    close: () => Promise.resolve(),
    inTransaction: () => false,
    interrupt: () => void calls.push('interrupt'),
    withdraw: () => {
      calls.push('withdraw');
      return true;
    },
  });
  const batch = connection.batch([INSERT, INSERT], 'abort', false);
  await expect.poll(() => fail).toBeDefined();
  expect(connection.withdraw?.()).toBe(true);
  fail?.(Object.assign(new Error('withdrawn'), { errno: 9 }));
  await expect.poll(() => undo).toBeDefined();
  expect(connection.withdraw?.()).toBe(false);
  connection.interrupt?.();
  undo?.();
  expect((await batch).map(({ status }) => status)).toEqual(['failed', 'undone']);
  expect(calls).toEqual(['BEGIN IMMEDIATE', INSERT.sql, 'withdraw', 'rollback']);
  expect(connection.broken).toBe(false);
});
