import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../src/connection/call-queue.ts';
import { limitOf } from '../../src/waiting/deadline.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { byHand, errorOf, follow } from '../pool/support.ts';

const nothing = (): undefined => undefined;

describe('a call queue', () => {
  it('gives the lock to each waiter for as long as it takes, in order', async () => {
    const clock = fakeClock();
    const queue = new CallQueue({ clock, maxWaiting: Infinity }, nothing, nothing);
    await queue.acquire(undefined);
    const order: number[] = [];
    const runs = [1, 2].map((n) => queue.withLock(undefined, async () => order.push(n)));
    await clock.advance(1e9);
    expect(order).toEqual([]);
    queue.release();
    await Promise.all(runs);
    expect([order, queue.busy]).toEqual([[1, 2], false]);
  });

  it('begins no call before the one that was cancelled under the same lock has returned', async () => {
    const clock = fakeClock();
    const queue = new CallQueue({ clock, maxWaiting: Infinity }, nothing, nothing);
    const native = byHand();
    const cancelled = new Error('cancelled');
    await queue.acquire(undefined);
    const first = follow(
      queue.call(
        () => native.promise,
        limitOf(clock, 10, () => cancelled),
      ),
    );
    await clock.advance(10);
    expect(errorOf(first)).toMatchObject({ reason: cancelled });
    const second = follow(queue.call(async () => 'done', undefined));
    await clock.settle();
    expect(second.now.state).toBe('pending');
    native.resolve();
    await clock.settle();
    expect(second.now).toEqual({ state: 'resolved', value: 'done' });
    queue.release();
    expect(queue.busy).toBe(false);
  });

  it('gives no lock in the tick in which it is shut', async () => {
    const clock = fakeClock();
    const queue = new CallQueue({ clock, maxWaiting: Infinity }, nothing, nothing);
    await queue.acquire(undefined);
    const waits = follow(queue.acquire(undefined));
    const reason = new Error('over');
    queue.release();
    queue.shut(() => reason);
    await clock.settle();
    expect(errorOf(waits)).toBe(reason);
    expect(queue.busy).toBe(false);
    await queue.drained();
  });
});
