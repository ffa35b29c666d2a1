import { describe, expect, it } from 'vitest';
import { fakeClock } from '../../src/testing/index.ts';

describe('a fake clock', () => {
  it('stands still until a test moves it', async () => {
    const clock = fakeClock();
    const ran: string[] = [];
    clock.schedule(() => ran.push('due'), 10);
    await clock.settle();
    expect([clock.now(), ran]).toEqual([0, []]);
    await clock.advance(9);
    expect([clock.now(), ran]).toEqual([9, []]);
    await clock.advance(1);
    expect([clock.now(), ran]).toEqual([10, ['due']]);
  });

  it('runs what is due in order, each at its own moment, also what was set meanwhile', async () => {
    const clock = fakeClock();
    const ran: [string, number][] = [];
    const note = (name: string) => (): void => void ran.push([name, clock.now()]);
    clock.schedule(note('late'), 30);
    clock.schedule(note('first'), 10);
    clock.schedule(note('second'), 10);
    clock.schedule(() => clock.schedule(note('nested'), 5), 10);
    clock.schedule(note('never'), 41);
    await clock.advance(40);
    expect(ran).toEqual([
      ['first', 10],
      ['second', 10],
      ['nested', 15],
      ['late', 30],
    ]);
    expect(clock.now()).toBe(40);
  });

  it('lets promises settle between two timers when it advances, and after all of them when it jumps', async () => {
    const order = async (go: 'advance' | 'jump'): Promise<string[]> => {
      const clock = fakeClock();
      const ran: string[] = [];
      clock.schedule(() => void Promise.resolve().then(() => ran.push('reaction')), 1);
      clock.schedule(() => ran.push('timer'), 1);
      await clock[go](1);
      await clock.settle();
      return ran;
    };
    expect(await order('advance')).toEqual(['reaction', 'timer']);
    expect(await order('jump')).toEqual(['timer', 'reaction']);
  });

  it('counts the timers that are set, and which of them would keep a process alive', async () => {
    const clock = fakeClock();
    const cancel = clock.schedule(() => undefined, 10);
    clock.schedule(() => undefined, 20, true);
    expect([clock.pending, clock.pendingForeground]).toEqual([2, 1]);
    cancel();
    cancel();
    expect([clock.pending, clock.pendingForeground]).toEqual([1, 0]);
    await clock.advance(20);
    expect(clock.pending).toBe(0);
  });
});
