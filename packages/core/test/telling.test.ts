import { describe, expect, it, vi } from 'vitest';
import type { Clock } from '../src/deadline.ts';
import { Member } from '../src/group.ts';
import { Telling } from '../src/telling.ts';

const RESULT = { rows: [], columns: [], changes: 1, lastInsertRowid: 1 };

/** A clock on which only that takes time of which it is said here. */
function clockOf() {
  const clock = { ms: 0, now: () => clock.ms, schedule: () => () => undefined };
  return clock satisfies Clock;
}

const tellingOf = () => new Telling(clockOf());

/** Members of a group, and who of them has been told; each does something then that takes so long. */
function callers(count: number, does: () => void = () => undefined) {
  const told: number[] = [];
  const members = Array.from({ length: count }, (_, n) => {
    const member = new Member({} as never, 0, Infinity, { left: () => undefined });
    void member.outcome
      .then(
        () => told.push(n),
        () => told.push(-n),
      )
      .then(does);
    return member;
  });
  return { members, results: members.map(() => RESULT), told };
}

/** All that is on its way in this turn of the event loop. */
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);

describe('telling callers that their writes are done', () => {
  it('is over at once when there are few', async () => {
    const { members, results, told } = callers(4);
    const telling = tellingOf();
    telling.tell([{ members, results }]);
    await Promise.resolve();
    expect(told).toEqual(numbers(4));
    const order: string[] = [];
    void telling.ended().then(() => order.push('ended'));
    setImmediate(() => order.push('turn'));
    await turn();
    expect(order).toEqual(['ended', 'turn']);
  });

  it('takes a turn of the event loop for every four of many, in order', async () => {
    const { members, results, told } = callers(10);
    tellingOf().tell([{ members, results }]);
    await turn();
    expect(told).toEqual(numbers(4));
    await turn();
    expect(told).toEqual(numbers(8));
    await turn();
    expect(told).toEqual(numbers(10));
  });

  it('ends when the last who were told have gone on, so that what they write next is there', async () => {
    const order: string[] = [];
    const { members, results } = callers(6, () => {
      // As deep as a caller may be in functions of its own.
      process.nextTick(() => void Promise.resolve().then(() => order.push('has gone on')));
    });
    const telling = tellingOf();
    telling.tell([{ members, results }]);
    void telling.ended().then(() => order.push('ended'));
    await turn();
    expect(order).toHaveLength(4);
    await turn();
    expect(order).toEqual([...Array<string>(6).fill('has gone on'), 'ended']);
  });

  it('keeps to the order in which writes were done, whoever is told later', async () => {
    const telling = tellingOf();
    const first = callers(6);
    const second = callers(3);
    telling.tell([first]);
    telling.tell([second]);
    await turn();
    expect([first.told, second.told]).toEqual([numbers(4), []]);
    await turn();
    expect([first.told, second.told]).toEqual([numbers(6), numbers(2)]);
    await turn();
    expect(second.told).toEqual(numbers(3));
  });

  it('keeps to it when some have failed, and counts all of one COMMIT together', async () => {
    const { members, results, told } = callers(6);
    const outcomes = members.map((member, at) =>
      at % 2 === 1
        ? { members: [member], error: new Error('failed') }
        : { members: [member], results: [results[at]!] },
    );
    tellingOf().tell(outcomes);
    await turn();
    expect(told).toEqual([0, -1, 2, -3]);
    await turn();
    expect(told.slice(4)).toEqual([4, -5]);
  });

  it('settles all of them at once: a write that is done cannot be cut while its caller waits to hear of it', async () => {
    const { members, results, told } = callers(10);
    members[3]?.reject(new Error('cut before'));
    const telling = tellingOf();
    telling.tell([{ members, results }]);
    members[9]?.reject(new Error('cut after'));
    await telling.ended();
    expect(told).toEqual([-3, 0, 1, 2, 4, 5, 6, 7, 8, 9]);
  });

  it('tells everyone at once when the pool is closed, and from then on', async () => {
    const telling = tellingOf();
    const before = callers(20);
    const after = callers(20);
    const later = callers(20);
    telling.tell([before]);
    const ended = telling.ended();
    telling.close();
    await ended;
    expect(before.told).toEqual(numbers(20));
    telling.tell([after]);
    await Promise.resolve();
    expect([before.told, after.told]).toEqual([numbers(20), numbers(20)]);
    await turn();
    telling.tell([later]);
    await Promise.resolve();
    expect(later.told).toEqual(numbers(20));
  });
});

describe('in the turn of the event loop in which the last of many have gone on', () => {
  async function justTold() {
    const telling = tellingOf();
    const before = callers(6);
    telling.tell([before]);
    await telling.ended();
    expect(before.told).toEqual(numbers(6));
    return telling;
  }

  it('tells a few at once', async () => {
    const telling = await justTold();
    const { told, ...few } = callers(4);
    telling.tell([few]);
    await Promise.resolve();
    expect(told).toEqual(numbers(4));
  });

  it('tells many as ever, four in a turn, once each', async () => {
    const telling = await justTold();
    const { told, ...many } = callers(10);
    telling.tell([many]);
    const sizes: number[] = [];
    for (let turns = 0; turns < 4; turns += 1) {
      await turn();
      sizes.push(told.length);
    }
    expect(sizes).toEqual([4, 8, 10, 10]);
  });

  it('is left alone by the event loop when nobody else comes', async () => {
    await justTold();
    await vi.waitFor(() => {
      expect(process.getActiveResourcesInfo()).not.toContain('Immediate');
    });
  });

  it('may be closed', async () => {
    const telling = await justTold();
    telling.close();
    await turn();
    const { told, ...later } = callers(10);
    telling.tell([later]);
    await Promise.resolve();
    expect(told).toEqual(numbers(10));
  });
});

describe('where the rest of a turn of the event loop takes long', () => {
  /** How many are told in each turn: of so many callers, once for every time that the rest of a turn takes. */
  async function slices(count: number, callerMs: number, ...restMs: number[]): Promise<number[][]> {
    const clock = clockOf();
    const telling = new Telling(clock);
    const all: number[][] = [];
    for (const rest of restMs) {
      const sizes: number[] = [];
      const { members, results, told } = callers(count, () => void (clock.ms += callerMs));
      telling.tell([{ members, results }]);
      for (let before = 0; before < count; before = told.length) {
        await turn();
        clock.ms += rest;
        sizes.push(told.length - before);
      }
      await turn();
      all.push(sizes);
    }
    return all;
  }

  it('tells twice as many in each, as long as they take no longer than the rest', async () => {
    expect(await slices(64, 0.01, 5, 5)).toEqual([[4, 8, 16, 32, 4], [64]]);
  });

  it('tells as many as take as long as the rest', async () => {
    expect(await slices(60, 0.125, 2, 2)).toEqual([
      [4, 8, 16, 16, 16],
      [16, 16, 16, 12],
    ]);
  });

  it('keeps to four when those take longer than the rest', async () => {
    expect(await slices(10, 0.125, 0.25, 0.25)).toEqual([
      [4, 4, 2],
      [4, 4, 2],
    ]);
  });

  it('goes back to four at once when the rest no longer does', async () => {
    expect(await slices(20, 0.01, 5, 5, 0, 0)).toEqual([[4, 8, 8], [20], [20], [4, 4, 4, 4, 4]]);
  });
});
