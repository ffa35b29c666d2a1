import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { limitOf, type Limit } from '../src/deadline.ts';
import { PoolOverloadedError } from '../src/errors.ts';
import { fakeClock } from '../src/testing/index.ts';
import { WaitQueue } from '../src/wait-queue.ts';
import { errorOf, follow } from './engine/support.ts';

const clock = fakeClock();

function limit(timeoutMs = Infinity, signal?: AbortSignal): Limit {
  return limitOf(clock, timeoutMs, (ahead) => new Error(`${String(ahead)} ahead`), signal);
}

describe('a wait queue', () => {
  it('serves and fails whoever came first, and says when nobody waits', async () => {
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

  it('has one timer for all, cuts each at its own deadline, and drops the timer with the last', async () => {
    const queue = new WaitQueue<string>();
    const start = clock.now();
    const cuts: [number, number][] = [];
    const waits = [40, 10, Infinity, 30, 20, 10].map((ms, at) => {
      const wait = queue.wait(limit(ms));
      wait.catch(() => cuts.push([at, clock.now() - start]));
      return follow(wait);
    });
    expect(clock.pending).toBe(1);
    await clock.advance(35);
    expect(cuts).toEqual([
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

  it('refuses one more than it may hold, and one whose limit is reached already, without taking it in', async () => {
    const queue = new WaitQueue<string>(1);
    follow(queue.wait(limit()));
    await expect(queue.wait(limit())).rejects.toBeInstanceOf(PoolOverloadedError);
    await expect(queue.wait(limit(Infinity, AbortSignal.abort('gone')))).rejects.toBe('gone');
    await expect(queue.wait(limit(0))).rejects.toThrow('0 ahead');
    expect(queue.size).toBe(1);
  });
});
