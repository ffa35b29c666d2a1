import { describe, expect, it } from 'vitest';
import { limitOf, type Limit } from '../../src/waiting/deadline.ts';
import { DriverConflictError } from '../../src/errors.ts';
import { Semaphore } from '../../src/waiting/semaphore.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { joinSharedFile } from '../../src/connection/shared-file.ts';
import { fakePool, follow } from '../pool/support.ts';

const clock = fakeClock();

function limit(timeoutMs = Infinity): Limit {
  return limitOf(clock, timeoutMs, () => new Error('late'));
}

describe('a gate', () => {
  it('lets in as many as it has places, and the others in the order in which they came', async () => {
    const gate = new Semaphore(2);
    const entered: string[] = [];
    for (const name of ['a', 'b', 'c', 'd']) void gate.acquire(limit()).then(() => entered.push(name));
    await clock.settle();
    expect([entered, gate.held, gate.waiting]).toEqual([['a', 'b'], 2, 2]);
    gate.release();
    await clock.settle();
    expect([entered, gate.held, gate.waiting]).toEqual([['a', 'b', 'c'], 2, 1]);
    for (let n = 0; n < 3; n += 1) gate.release();
    await clock.settle();
    expect([entered, gate.held, gate.waiting]).toEqual([['a', 'b', 'c', 'd'], 0, 0]);
  });

  it('does not let anyone overtake the waiters, not even in the tick in which a permit is released', async () => {
    const gate = new Semaphore();
    expect(gate.tryAcquire()).toBe(true);
    const waits = follow(gate.acquire(limit()));
    gate.release();
    expect(gate.tryAcquire()).toBe(false);
    await clock.settle();
    expect(waits.now.state).toBe('resolved');
  });

  it('tells the next holder what its changes were then, so that one sees what has changed in the same tick', async () => {
    const gate = new Semaphore(2);
    gate.tryAcquire();
    expect([gate.changes, await gate.acquire(limit())]).toEqual([1, 2]);
    const entered = Promise.all([gate.acquire(limit()), gate.acquire(limit())]);
    gate.release();
    gate.release();
    expect([await entered, gate.changes]).toEqual([[3, 4], 4]);
  });

  it('passes the place by one who has given up', async () => {
    const gate = new Semaphore();
    gate.tryAcquire();
    const late = follow(gate.acquire(limit(10)));
    const next = follow(gate.acquire(limit()));
    await clock.advance(10);
    gate.release();
    await clock.settle();
    expect([late.now.state, next.now.state, gate.held]).toEqual(['rejected', 'resolved', 1]);
  });

  it('fails all waiters, and keeps the holders of permits', async () => {
    const gate = new Semaphore();
    gate.tryAcquire();
    const waits = [follow(gate.acquire(limit())), follow(gate.acquire(limit()))];
    const reason = new Error('closed');
    gate.rejectAll(() => reason);
    await clock.settle();
    expect(waits.map(({ now }) => now.state)).toEqual(['rejected', 'rejected']);
    expect(waits[0]?.now).toMatchObject({ error: reason });
    expect(gate.held).toBe(1);
  });
});

describe('the gate of a file', () => {
  it('F60 is one and the same for all who name the same file, until the last has left', () => {
    const first = joinSharedFile('file', 'one driver');
    expect(joinSharedFile('file', 'one driver')).toBe(first);
    expect(joinSharedFile('another file', 'one driver').writeLock).not.toBe(first.writeLock);
    first.leave();
    expect(joinSharedFile('file', 'one driver')).toBe(first);
    first.leave();
    first.leave();
    const later = joinSharedFile('file', 'another driver');
    expect(later).not.toBe(first);
    later.leave();
  });

  it('F60 makes the writers of two pools write one after the other, first come first served, while readers go on', async () => {
    const one = fakePool({ execute: { 1: 'hang' } }, {}, { databaseId: 'shared' });
    const other = fakePool({}, {}, { databaseId: 'shared' });
    const first = follow(one.pool.transaction((tx) => tx.run('INSERT INTO t VALUES (1)')));
    await one.clock.settle();
    const second = follow(other.pool.run('INSERT INTO t VALUES (2)'));
    const third = follow(one.pool.run('INSERT INTO t VALUES (3)'));
    await expect(other.pool.get('SELECT 1')).resolves.toBeUndefined();
    await other.clock.settle();
    expect([second.now.state, third.now.state]).toEqual(['pending', 'pending']);
    expect(other.pool.stats()).toMatchObject({ writerHeld: true, writersWaiting: 2 });
    one.driver.call('execute', 1).resolve();
    await one.clock.settle();
    expect([first, second, third].map(({ now }) => now.state)).toEqual(['resolved', 'resolved', 'resolved']);
    expect(other.pool.stats()).toMatchObject({ writerHeld: false, writersWaiting: 0 });
    await Promise.all([one.pool.close(), other.pool.close()]);
  });

  it('F59 is refused to a second driver, and the first one keeps it', () => {
    const file = joinSharedFile('file', 'one driver');
    expect(() => joinSharedFile('file', 'another driver')).toThrow(DriverConflictError);
    expect(joinSharedFile('file', 'one driver')).toBe(file);
    file.leave();
    file.leave();
    joinSharedFile('file', 'another driver').leave();
  });
});
