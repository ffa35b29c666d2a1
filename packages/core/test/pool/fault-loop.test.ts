import { describe, expect, it } from 'vitest';
import type { FakeMethod } from '../../src/testing/index.ts';
import { FAULTS, runWithFault, type Fault } from './fault-loop.ts';

const METHODS: readonly FakeMethod[] = [
  'open',
  'databaseId',
  'execute',
  'rollback',
  'close',
  'script',
  'iterate',
  'next',
  'return',
  'inTransaction',
  'interrupt',
];

/** What returns no promise can only throw. */
const SYNCHRONOUS = new Set<FakeMethod>(['iterate', 'interrupt']);

const CASES = METHODS.flatMap((method) =>
  FAULTS.filter((fault) => !SYNCHRONOUS.has(method) || fault === 'throws').map(
    (fault): [FakeMethod, Fault] => [method, fault],
  ),
);

describe('the pool with every call of its driver going wrong once', () => {
  it.for(CASES)(
    'F43 F44 F47 F50 a call of %s that %s costs no capacity, hangs nobody and leaves nothing behind',
    { timeout: 60_000 },
    async ([method, fault]) => {
      let nth = 1;
      const failures: string[] = [];
      for (; ; nth += 1) {
        try {
          if (!(await runWithFault(method, nth, fault))) break;
        } catch (error) {
          failures.push(`call ${String(nth)}: ${String(error)}`);
        }
        // The scenario makes fewer calls than that, so a loop without end is a failure too.
        if (nth > 500) break;
      }
      expect(failures).toEqual([]);
      expect(nth).toBeGreaterThan(1);
    },
  );
});
