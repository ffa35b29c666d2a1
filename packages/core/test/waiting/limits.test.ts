import { describe, expect, it } from 'vitest';
import { AcquireTimeoutError } from '../../src/errors.ts';
import {
  beginLimit,
  operationLimit,
  statementLimit,
  writeLockLimit,
  type TimeSettings,
} from '../../src/waiting/limits.ts';
import { limitOf } from '../../src/waiting/deadline.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';

const NO_TURN = new AcquireTimeoutError(
  1,
  'write',
  { poolSize: 1, leased: 1, idle: 0, opening: 0, waiting: 1 },
  [],
);

function settings(times: Partial<TimeSettings> = {}): TimeSettings {
  const clock = fakeClock();
  return {
    clock,
    operationTimeoutMs: 10,
    acquireTimeoutMs: 300,
    statementTimeoutMs: Infinity,
    writeTimeoutError: () => NO_TURN,
    ...times,
  };
}

const signal = (): AbortSignal => new AbortController().signal;

describe('the limit', () => {
  it("of an operation is the pool's, and names the operation", () => {
    const own = settings();
    const limit = operationLimit(own, 'reset');
    expect(limit).toMatchObject({ deadline: own.clock.now() + 10, signals: [] });
    expect(limit.timeoutError(0)).toMatchObject({ code: 'OPERATION_TIMEOUT' });
    expect(limit.timeoutError(0).message).toContain('reset');
  });

  it('of a statement is nothing, where nothing limits it', () => {
    expect(statementLimit(settings(), undefined, undefined)).toBeUndefined();
    expect(statementLimit(settings({ statementTimeoutMs: 5 }), Infinity, undefined)).toBeUndefined();
  });

  it('of a statement is what the call says, or else the pool, with its signal', () => {
    const own = settings({ statementTimeoutMs: 50 });
    const one = signal();
    expect(statementLimit(own, 20, one)).toMatchObject({ deadline: own.clock.now() + 20, signals: [one] });
    expect(statementLimit(own, undefined, undefined)?.deadline).toBe(own.clock.now() + 50);
    expect(statementLimit(settings(), undefined, one)).toMatchObject({ deadline: Infinity, signals: [one] });
    expect(statementLimit(own, 20, one)?.timeoutError(0)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  });

  it('of a BEGIN is that of a statement, inside that of its transaction', () => {
    const own = settings({ statementTimeoutMs: 50 });
    const abort = signal();
    const whole = (ms: number) => limitOf(own.clock, ms, () => NO_TURN, abort);
    const [short, long, same] = [whole(20), whole(80), whole(50)];
    expect(beginLimit(own, short)).toBe(short);
    expect(beginLimit(own, same)).toBe(same);
    expect(beginLimit(own, long)).toMatchObject({ deadline: own.clock.now() + 50, signals: [abort] });
    expect(beginLimit(own, long).timeoutError(0)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  });

  it('of the write lock is that of an acquire, or that of the statement if it is shorter', () => {
    const own = settings();
    const [abort, ended] = [signal(), signal()];
    const statement = (ms: number) => limitOf(own.clock, ms, () => new Error('mine'), abort);
    expect(writeLockLimit(own, undefined, ended)).toMatchObject({
      deadline: own.clock.now() + 300,
      signals: [ended],
    });
    expect(writeLockLimit(own, undefined, ended).timeoutError(0)).toBe(NO_TURN);
    for (const longer of [300, 400]) {
      const limit = writeLockLimit(own, statement(longer), ended);
      expect(limit).toMatchObject({ deadline: own.clock.now() + 300, signals: [abort, ended] });
      expect(limit.timeoutError(0)).toBe(NO_TURN);
    }
    const shorter = writeLockLimit(own, statement(299), ended);
    expect(shorter).toMatchObject({ deadline: own.clock.now() + 299, signals: [abort, ended] });
    expect(shorter.timeoutError(0).message).toBe('mine');
  });
});
