import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { limitOf, type Limit } from '../../src/waiting/deadline.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { WaitQueue } from '../../src/waiting/wait-queue.ts';
import { errorOf, follow } from '../pool/support.ts';

const clock = fakeClock();

function limit(timeoutMs = Infinity, signal?: AbortSignal): Limit {
  return limitOf(clock, timeoutMs, (ahead) => new Error(`${String(ahead)} ahead`), signal);
}

describe('a wait queue', () => {
  it('serves and fails the oldest waiter, and says when nobody waits', async () => {
    const queue = new WaitQueue<string>();
    const waits = [1, 2, 3].map(() => follow(queue.wait(limit())));
    const failure = new Error('failed');
    expect([queue.serve('first'), queue.fail(failure), queue.serve('third')]).toEqual([true, true, true]);
    expect([queue.serve('nobody'), queue.fail(failure)]).toEqual([false, false]);
    await clock.settle();
    expect(waits.map(({ now }) => now)).toEqual([
      { state: 'resolved', value: 'first' },
      { state: 'rejected', error: failure },
      { state: 'resolved', value: 'third' },
    ]);
  });

  it('lets go of one in the middle without a trace, and tells its error how many were ahead', async () => {
    const queue = new WaitQueue<string>();
    const { signal } = new AbortController();
    const first = follow(queue.wait(limit(100, signal)));
    const second = follow(queue.wait(limit(50, signal)));
    const third = follow(queue.wait(limit()));
    await clock.advance(50);
    expect(errorOf(second)).toMatchObject({ message: '1 ahead' });
    expect([queue.size, clock.pending, getEventListeners(signal, 'abort').length]).toEqual([2, 1, 1]);
    queue.serve('a');
    queue.serve('b');
    await clock.settle();
    expect([first.now, third.now]).toEqual([
      { state: 'resolved', value: 'a' },
      { state: 'resolved', value: 'b' },
    ]);
    expect([queue.size, clock.pending, getEventListeners(signal, 'abort').length]).toEqual([0, 0, 0]);
  });

  it('has one timer for all, cancels each at its own deadline, and drops the timer with the last', async () => {
    const queue = new WaitQueue<string>();
    const start = clock.now();
    const cancellations: [number, number][] = [];
    const waits = [40, 10, Infinity, 30, 20, 10].map((ms, at) => {
      const wait = queue.wait(limit(ms));
      wait.catch(() => cancellations.push([at, clock.now() - start]));
      return follow(wait);
    });
    expect(clock.pending).toBe(1);
    await clock.advance(35);
    expect(cancellations).toEqual([
      [1, 10],
      [5, 10],
      [4, 20],
      [3, 30],
    ]);
    queue.serve('the first');
    await clock.advance(5);
    expect(waits.map(({ now }) => now.state)).toEqual([
      'resolved',
      'rejected',
      'pending',
      'rejected',
      'rejected',
      'rejected',
    ]);
    queue.serve('the last');
    expect(clock.pending).toBe(0);
  });

  it('waits on when its timer fires too early', async () => {
    let now = 0;
    const timers: (() => void)[] = [];
    const early: Limit = {
      ...limit(10),
      clock: { now: () => now, schedule: (callback) => (timers.push(callback), () => undefined) },
      deadline: 10,
    };
    const queue = new WaitQueue<string>();
    const wait = follow(queue.wait(early));
    now = 9.5;
    timers[0]?.();
    await clock.settle();
    expect([wait.now.state, timers.length]).toEqual(['pending', 2]);
    now = 10;
    timers[1]?.();
    await clock.settle();
    expect([wait.now.state, timers.length]).toEqual(['rejected', 2]);
  });

  it('F13 serves nobody whose signal is aborted, however many follow that signal', async () => {
    const queue = new WaitQueue<string>();
    const controller = new AbortController();
    const waits = Array.from({ length: 2500 }, () => follow(queue.wait(limit(Infinity, controller.signal))));
    const other = follow(queue.wait(limit()));
    controller.abort('gone');
    // The last ones have not heard of it yet.
    expect(queue.serve('for the other')).toBe(true);
    expect(queue.serve('for nobody')).toBe(false);
    for (let tick = 0; tick < 3; tick += 1) await clock.settle();
    expect(other.now).toEqual({ state: 'resolved', value: 'for the other' });
    expect(new Set(waits.map(errorOf))).toEqual(new Set(['gone']));
    expect([queue.size, getEventListeners(controller.signal, 'abort').length]).toEqual([0, 0]);
  });

  it('F76 looks at many who wait more seldom, and rejects none of them too early', async () => {
    const queue = new WaitQueue<string>();
    const start = clock.now();
    const late: number[] = [];
    const rejected = (at: number) => (): void => void late.push(clock.now() - start - at);
    for (let at = 0; at < 20_000; at += 1) follow(queue.wait(limit()));
    for (let at = 10; at < 20; at += 0.25) queue.wait(limit(at)).catch(rejected(at));
    await clock.advance(22);
    expect(late).toHaveLength(40);
    expect(Math.min(...late)).toBe(0);
    expect(Math.max(...late)).toBeLessThanOrEqual(2);
    expect(new Set(late).size).toBeGreaterThan(1);
    queue.rejectAll(() => 'the end');
    for (let tick = 0; tick < 20; tick += 1) await clock.settle();
    expect(clock.pending).toBe(0);
  });

  it('fails all of a kind, and goes on with the others in order, each under its own limit', async () => {
    const queue = new WaitQueue<string>();
    const wait = (kind: string, timeoutMs?: number) => follow(queue.wait(limit(timeoutMs), kind));
    const waits = [wait('a'), wait('b', 20), wait('a', 10), wait('b'), wait('b')];
    queue.rejectAll(() => 'failed', 'a');
    expect(queue.size).toBe(3);
    queue.serve('first');
    await clock.advance(20);
    queue.serve('second');
    await clock.settle();
    expect(waits.map(({ now }) => now)).toEqual([
      { state: 'rejected', error: 'failed' },
      { state: 'resolved', value: 'first' },
      { state: 'rejected', error: 'failed' },
      { state: 'resolved', value: 'second' },
      { state: 'pending' },
    ]);
    queue.rejectAll(() => 'failed');
    expect([queue.size, clock.pending]).toEqual([0, 0]);
  });

  it('refuses one whose limit is reached already, without taking it in', async () => {
    const queue = new WaitQueue<string>();
    follow(queue.wait(limit()));
    await expect(queue.wait(limit(Infinity, AbortSignal.abort('gone')))).rejects.toBe('gone');
    await expect(queue.wait(limit(0))).rejects.toThrow('0 ahead');
    expect(queue.size).toBe(1);
  });
});
