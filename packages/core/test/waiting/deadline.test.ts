import { getEventListeners } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  cancelReason,
  atEndOfTick,
  bounded,
  limitOf,
  CancelSource,
  systemClock,
  watch,
  type Clock,
} from '../../src/waiting/deadline.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { errorOf, follow } from '../pool/support.ts';

const late = (): Error => new Error('late');

describe('a limit', () => {
  it('is reached by its deadline or by any of its signals, and only then', () => {
    const clock = fakeClock();
    const reason = new Error('gone');
    expect(cancelReason(limitOf(clock, 1, late))).toBeUndefined();
    expect(cancelReason(limitOf(clock, 0, late))).toMatchObject({ reason: { message: 'late' } });
    expect(cancelReason(limitOf(clock, Infinity, late, undefined, AbortSignal.abort(reason)))).toEqual({
      reason,
    });
    // A reason can be anything, even undefined or false.
    expect(cancelReason(limitOf(clock, 1, late, AbortSignal.abort(false)))).toEqual({ reason: false });
  });

  it('that is watched cancels once, and leaves no timer and no listener, in any order', async () => {
    const clock = fakeClock();
    const one = new AbortController();
    const other = new AbortController();
    const cancellations: unknown[] = [];
    watch(limitOf(clock, 10, late, one.signal, other.signal), (reason) => cancellations.push(reason));
    expect([clock.pending, getEventListeners(one.signal, 'abort').length]).toEqual([1, 1]);
    other.abort('gone');
    one.abort('too late');
    await clock.advance(10);
    expect(cancellations).toEqual(['gone']);
    expect(clock.pending).toBe(0);
    expect([one, other].map(({ signal }) => getEventListeners(signal, 'abort').length)).toEqual([0, 0]);
  });

  it('is cancelled by a revocation as by a signal, before it is watched and while it is', async () => {
    const clock = fakeClock();
    const [before, meanwhile, after] = [new CancelSource(), new CancelSource(), new CancelSource()];
    before.cancel(undefined);
    expect(cancelReason(limitOf(clock, 10, late, before))).toEqual({ reason: undefined });
    const limit = limitOf(clock, 10, late, meanwhile);
    expect(cancelReason(limit)).toBeUndefined();
    const cancellations: unknown[] = [];
    watch(limit, (reason) => cancellations.push(reason));
    meanwhile.cancel('gone');
    const stop = watch(limitOf(clock, 10, late, after), (reason) => cancellations.push(reason));
    stop();
    after.cancel('too late');
    await clock.advance(10);
    expect(cancellations).toEqual(['gone']);
    expect(clock.pending).toBe(0);
  });

  it('of many that wait on one revocation cancels the ones that still wait, in order, each once, for the first reason', () => {
    const clock = fakeClock();
    const revocation = new CancelSource();
    const cancellations: [string, unknown][] = [];
    const stops = new Map<string, () => void>();
    for (const who of ['first', 'gone before', 'second', 'told to go', 'last']) {
      const cancelled = (reason: unknown): void => {
        cancellations.push([who, reason]);
        if (who === 'second') stops.get('told to go')?.();
        revocation.cancel('not again');
      };
      stops.set(who, watch(limitOf(clock, Infinity, late, revocation), cancelled));
    }
    stops.get('gone before')?.();
    revocation.cancel(false);
    revocation.cancel('too late');
    expect(cancellations).toEqual([
      ['first', false],
      ['second', false],
      ['last', false],
    ]);
    expect(cancelReason(limitOf(clock, Infinity, late, revocation))).toEqual({ reason: false });
    expect(CancelSource.because(() => undefined)).toMatchObject({ aborted: true, reason: undefined });
  });

  it('that is no longer watched never cancels', async () => {
    const clock = fakeClock();
    const controller = new AbortController();
    const cancellations: unknown[] = [];
    const stop = watch(limitOf(clock, 10, late, controller.signal), (reason) => cancellations.push(reason));
    stop();
    controller.abort();
    await clock.advance(10);
    expect(cancellations).toEqual([]);
  });

  it('waits on when a timer fires too early, or cannot wait for as long', () => {
    const year = 365 * 86_400_000;
    let now = 0;
    const delays: number[] = [];
    let fire: () => void = () => undefined;
    const clock: Clock = {
      now: () => now,
      schedule: (callback, delayMs) => {
        delays.push(delayMs);
        fire = callback;
        return () => undefined;
      },
    };
    const cancellations: unknown[] = [];
    watch(limitOf(clock, year, late), (reason) => cancellations.push(reason));
    now = 2 ** 31 - 1;
    fire();
    now = year - 0.5;
    fire();
    expect(cancellations).toEqual([]);
    now = year;
    fire();
    expect(cancellations).toHaveLength(1);
    expect(delays).toEqual([year, year - 2 ** 31 + 1, 0.5]);
  });
});

describe('work under a limit', () => {
  it('ends as the work does, if that is in time', async () => {
    const clock = fakeClock();
    const failure = new Error('failed');
    await expect(bounded(Promise.resolve(1), limitOf(clock, 10, late))).resolves.toBe(1);
    await expect(bounded(Promise.reject(failure), limitOf(clock, 10, late))).rejects.toBe(failure);
    await expect(bounded(Promise.resolve(2), limitOf(clock, Infinity, late))).resolves.toBe(2);
    expect(clock.pending).toBe(0);
  });

  it('rejects at the limit, and a failure of the work after that disturbs nobody', async () => {
    const clock = fakeClock();
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<never>((_, reject) => (fail = reject));
    const cancelled: unknown[] = [];
    const end = follow(bounded(work, limitOf(clock, 10, late), (reason) => cancelled.push(reason)));
    await clock.advance(10);
    expect(errorOf(end)).toMatchObject({ message: 'late' });
    expect(cancelled).toEqual([errorOf(end)]);
    fail(new Error('too late'));
    await clock.settle();
  });

  it('rejects at once if the limit is reached already, and a failure of the work disturbs nobody', async () => {
    const work = Promise.reject(new Error('ignored'));
    await expect(bounded(work, limitOf(fakeClock(), 0, late))).rejects.toThrow('late');
  });
});

describe('the clock of the machine', () => {
  it('takes delays that no timer can take, and does not fire at once', async () => {
    let fired = false;
    const cancel = systemClock.schedule(() => (fired = true), 2 ** 40);
    // A timer with too long a delay would fire after 1 ms, before this one.
    await new Promise<void>((resolve) => systemClock.schedule(resolve, 5));
    cancel();
    expect(fired).toBe(false);
  });

  it('F97 goes on when a test runner replaces the timers and the time', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const [frozen, before] = [performance.now(), systemClock.now()];
    await new Promise<void>((resolve) => systemClock.schedule(resolve, 5));
    expect(performance.now()).toBe(frozen);
    expect(systemClock.now()).toBeGreaterThan(before);
    const cancel = systemClock.schedule(() => undefined, 5);
    cancel();
    await new Promise<void>((resolve) => {
      atEndOfTick(resolve);
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('cancels, and runs what was not cancelled', async () => {
    const ran: string[] = [];
    const cancel = systemClock.schedule(() => ran.push('cancelled'), 1);
    cancel();
    await new Promise<void>((resolve) => {
      systemClock.schedule(() => {
        ran.push('run');
        resolve();
      }, 2);
    });
    expect(ran).toEqual(['run']);
  });
});
