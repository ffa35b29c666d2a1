import { describe, expect, it } from 'vitest';
import {
  Estimates,
  isShort,
  learn,
  learnFromFailure,
  type Estimate,
} from '../../../src/drivers/sqlite3/estimates.ts';

/** What is known after calls that took so many milliseconds each. */
function after(...calls: readonly number[]): Estimate {
  const estimate = new Estimates().of('SELECT 1');
  for (const ms of calls) learn(estimate, ms);
  return estimate;
}

describe('how long a statement takes', () => {
  it('is unknown at first, which is not short, and known after one call', () => {
    expect(isShort(after())).toBe(false);
    expect(isShort(after(9.9))).toBe(true);
    expect(isShort(after(10))).toBe(false);
  });

  it('is still short after one call that came out long, as by a stall of the event loop, and not after two', () => {
    expect(isShort(after(0.1, 60_000))).toBe(true);
    expect(isShort(after(0.1, 60_000, 60_000))).toBe(false);
    expect(isShort(after(0.1, 60_000, 60_000, 0.1))).toBe(true);
  });

  it('is forgotten quickly when it was long: three short calls are enough', () => {
    expect(isShort(after(60_000, 0.1, 0.1))).toBe(false);
    expect(isShort(after(60_000, 0.1, 0.1, 0.1))).toBe(true);
  });

  it('is unknown again after a call that was cancelled while it ran long', () => {
    const estimate = after(0.1);
    learnFromFailure(estimate, 9);
    expect(isShort(estimate)).toBe(true);
    learnFromFailure(estimate, 10);
    expect(isShort(estimate)).toBe(false);
  });

  it('is the same for all statements of a text', () => {
    const estimates = new Estimates();
    learn(estimates.of('SELECT 1'), 1);
    expect(isShort(estimates.of('SELECT 1'))).toBe(true);
    expect(isShort(estimates.of('SELECT 2'))).toBe(false);
  });

  it('is remembered for 1024 texts, those that were used last', () => {
    const estimates = new Estimates();
    const first = estimates.of('SELECT 0');
    const second = estimates.of('SELECT 1');
    for (let n = 2; n < 1024; n += 1) estimates.of(`SELECT ${String(n)}`);
    expect(estimates.of('SELECT 0')).toBe(first);
    estimates.of('SELECT 1024');
    expect(estimates.of('SELECT 0')).toBe(first);
    expect(estimates.of('SELECT 1')).not.toBe(second);
  });

  it('is remembered for a million characters of text', () => {
    const estimates = new Estimates();
    const long = (n: number): string => `${'x'.repeat(500_000)}${String(n)}`;
    const first = estimates.of(long(1));
    const second = estimates.of(long(2));
    estimates.of('SELECT 1');
    expect(estimates.of(long(1))).toBe(first);
    estimates.of(long(3));
    expect(estimates.of(long(1))).toBe(first);
    expect(estimates.of(long(2))).not.toBe(second);
  });
});
