import { describe, expect, it } from 'vitest';
import { CallQueue } from '../../src/connection/call-queue.ts';
import { Cursors, type Cursor } from '../../src/connection/cursors.ts';
import { limitOf } from '../../src/waiting/deadline.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';

interface FakeCursor extends Cursor {
  steps: number;
  ends: number;
}

function fakeCursor(): FakeCursor {
  const cursor: FakeCursor = {
    steps: 0,
    ends: 0,
    next: () => Promise.resolve({ done: false, value: { n: (cursor.steps += 1) } }),
    return: () => Promise.resolve({ done: true, value: (cursor.ends += 1) }),
  };
  return cursor;
}

function make(): { calls: CallQueue; cursors: Cursors } {
  const clock = fakeClock();
  const nothing = (): void => undefined;
  const calls = new CallQueue({ clock, maxWaiting: Infinity }, nothing, nothing);
  const cursors = new Cursors(calls, () => limitOf(clock, 1000, () => new Error('late')));
  return { calls, cursors };
}

describe('the open cursors of a connection', () => {
  it('take their steps one after the other, and are forgotten when they are closed', async () => {
    const { cursors, calls } = make();
    const cursor = fakeCursor();
    cursors.add(cursor, 'lease');
    expect(cursors.size).toBe(1);
    expect(await cursors.step(cursor, undefined)).toEqual({ done: false, value: { n: 1 } });
    calls.tryAcquire();
    const closed = cursors.close(cursor);
    expect([cursors.size, cursor.ends]).toEqual([1, 0]);
    calls.release();
    await closed;
    expect([cursors.size, cursor.ends]).toEqual([0, 1]);
  });

  it('refuse a step after they were closed, instead of ending their loop', async () => {
    const { cursors } = make();
    const cursor = fakeCursor();
    cursors.add(cursor, 'lease');
    await cursors.close(cursor);
    await expect(cursors.step(cursor, undefined)).rejects.toMatchObject({ code: 'LEASE_ENDED' });
    expect(cursor.steps).toBe(0);
  });

  it('are closed once, and what is not open needs no lock', async () => {
    const { cursors, calls } = make();
    const cursor = fakeCursor();
    cursors.add(cursor, 'lease');
    await Promise.all([cursors.close(cursor), cursors.close(cursor)]);
    expect(cursor.ends).toBe(1);
    calls.tryAcquire();
    await cursors.close(cursor);
    expect(cursor.ends).toBe(1);
  });

  it('end with their transaction, with its rollback, or with their lease', async () => {
    const { cursors } = make();
    const open = { lease: fakeCursor(), transaction: fakeCursor(), commit: fakeCursor() };
    for (const lifetime of ['lease', 'transaction', 'commit'] as const) cursors.add(open[lifetime], lifetime);
    await cursors.closeAll('transaction');
    expect([open.lease.ends, open.transaction.ends, open.commit.ends]).toEqual([0, 1, 0]);
    await cursors.closeAll('transaction', 'commit');
    expect([open.lease.ends, open.transaction.ends, open.commit.ends]).toEqual([0, 1, 1]);
    await cursors.closeAll();
    expect([open.lease.ends, cursors.size]).toEqual([1, 0]);
  });

  it('need not have a return()', async () => {
    const { cursors } = make();
    const cursor: Cursor = { next: () => Promise.resolve({ done: true, value: undefined }) };
    cursors.add(cursor, 'transaction');
    await cursors.closeAll();
    expect(cursors.size).toBe(0);
  });

  it('all end after an interrupt, which they would hand on to every later statement', async () => {
    const { cursors } = make();
    cursors.noteInterrupt();
    expect(cursors.areInterrupted).toBe(false);
    const open = [fakeCursor(), fakeCursor()];
    for (const [at, cursor] of open.entries()) cursors.add(cursor, at === 0 ? 'transaction' : 'lease');
    await cursors.endInterrupted();
    expect(cursors.size).toBe(2);
    cursors.noteInterrupt();
    expect(cursors.areInterrupted).toBe(true);
    await cursors.endInterrupted();
    expect([cursors.areInterrupted, cursors.size]).toEqual([false, 0]);
    const later = fakeCursor();
    cursors.add(later, 'lease');
    await cursors.endInterrupted();
    expect(later.ends).toBe(0);
  });
});
