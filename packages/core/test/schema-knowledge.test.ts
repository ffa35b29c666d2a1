import { expect, test } from 'vitest';
import type { Result } from '../src/index.ts';
import { fakeClock } from '../src/testing/fake-clock.ts';
import { SchemaKnowledge } from '../src/schema-knowledge.ts';
import { TransactionState } from '../src/transaction-state.ts';

/** A connection whose answers come when the test says so. */
function connection(): {
  transaction: TransactionState;
  ask: () => Promise<Result>;
  answers: ((plain: boolean) => void)[];
} {
  const answers: ((plain: boolean) => void)[] = [];
  const ask = (): Promise<Result> =>
    new Promise((done) =>
      answers.push((plain) => {
        done({ rows: plain ? [{}] : [], columns: [], changes: 0, lastInsertRowid: 0 });
      }),
    );
  return { transaction: new TransactionState(), ask, answers };
}

test('what was asked before the schema changed is not known after it', async () => {
  const schema = new SchemaKnowledge(fakeClock());
  const asked = connection();
  const before = schema.takesRowsTogether('t', asked);
  schema.forget();
  const after = schema.takesRowsTogether('t', asked);
  asked.answers[1]?.(false);
  expect(await after).toBe(false);
  asked.answers[0]?.(true);
  expect(await before).toBe(true);
  expect(await schema.takesRowsTogether('t', asked)).toBe(false);
});

test('what a transaction sees is known to it alone, and takes nothing from what is known to others', async () => {
  const schema = new SchemaKnowledge(fakeClock());
  const [other, asked] = [connection(), connection()];
  const known = schema.takesRowsTogether('t', other);
  other.answers[0]?.(true);
  expect(await known).toBe(true);
  asked.transaction.succeeded('begin');
  asked.transaction.touched();
  const inside = schema.takesRowsTogether('t', asked);
  asked.answers[0]?.(false);
  expect(await inside).toBe(false);
  expect(await schema.takesRowsTogether('t', other)).toBe(true);
});
