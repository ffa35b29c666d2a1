import { expect, it } from 'vitest';
import { limitOf } from '../../src/waiting/deadline.ts';
import { Semaphore } from '../../src/waiting/semaphore.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { WriteLock } from '../../src/connection/write-lock.ts';

it('a connection acquires the write lock once, however often it asks, and releases it once', () => {
  const gate = new Semaphore(2);
  const writeLock = new WriteLock(gate);
  expect([writeLock.tryAcquire(), writeLock.tryAcquire(), gate.held]).toEqual([true, true, 1]);
  writeLock.release();
  writeLock.release();
  expect(gate.held).toBe(0);
  expect([writeLock.tryAcquire(), gate.held]).toEqual([true, 1]);
});

it('a connection that waits for the write lock does not hold it, and releases nothing', async () => {
  const gate = new Semaphore();
  const [first, second] = [new WriteLock(gate), new WriteLock(gate)];
  expect([first.tryAcquire(), second.tryAcquire()]).toEqual([true, false]);
  second.release();
  expect(gate.held).toBe(1);
  const taken = second.acquire(limitOf(fakeClock(), Infinity, () => new Error('never')));
  first.release();
  await taken;
  expect([second.tryAcquire(), first.tryAcquire(), gate.held]).toEqual([true, false, 1]);
  second.release();
  expect(gate.held).toBe(0);
});
