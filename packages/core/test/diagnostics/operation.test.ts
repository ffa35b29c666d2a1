import { describe, expect, it } from 'vitest';
import { QueryOperation, TransactionOperation } from '../../src/diagnostics/operation.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { observerOf } from './support.ts';

const CALL = { method: 'run', sql: 'DELETE FROM t', kind: 'write', parameters: 0, statements: 1 } as const;

describe('what a call reports', () => {
  it('changes no more when it has ended, although its connection or its group goes on', async () => {
    const clock = fakeClock();
    const operation = new QueryOperation(observerOf(clock), undefined, CALL);
    operation.waitsForLock();
    await clock.advance(5);
    operation.failed(new Error('given up'));
    const before = Object.entries(operation);
    expect(operation).toMatchObject({ phase: 'ended', waitMs: 0, lockMs: 5, runMs: 0, durationMs: 5 });
    await clock.advance(5);
    operation.connected(true);
    operation.waitsForLock();
    operation.meetsLock();
    operation.endsLockWait('running');
    operation.closed(new Error('closed'));
    expect(Object.entries(operation)).toEqual(before);
  });

  it('has each wait in one field, in whatever order they come', async () => {
    const clock = fakeClock();
    const operation = new QueryOperation(observerOf(clock), undefined, CALL);
    await clock.advance(1);
    operation.waitsForLock();
    await clock.advance(2);
    expect(operation.lockedMs).toBe(2);
    operation.endsLockWait('waiting');
    await clock.advance(4);
    operation.connected(false);
    await clock.advance(8);
    operation.meetsLock();
    await clock.advance(16);
    operation.endsLockWait('running');
    await clock.advance(32);
    operation.succeeded(undefined);
    expect(operation).toMatchObject({ waitMs: 5, lockMs: 18, runMs: 40, durationMs: 63, busyRetries: 1 });
  });

  it('names an error by its code, else by its name, and by nothing if it has none', () => {
    for (const [reason, errorCode] of [
      [{ sqliteCode: 'SQLITE_FULL', code: 'SQLITE_ERROR' }, 'SQLITE_FULL'],
      [Object.assign(new Error('no'), { code: 'ENOENT' }), 'ENOENT'],
      [new TypeError('no'), 'TypeError'],
      [undefined, undefined],
      ['a text', undefined],
    ]) {
      const operation = new TransactionOperation(observerOf(fakeClock()), undefined);
      operation.failed(reason);
      expect(operation.errorCode).toBe(errorCode);
    }
  });
});
