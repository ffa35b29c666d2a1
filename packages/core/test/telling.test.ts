import { describe, expect, it } from 'vitest';
import { Member } from '../src/group.ts';
import { Telling } from '../src/telling.ts';

const RESULT = { rows: [], columns: [], changes: 1, lastInsertRowid: 1 };

/** Members of a group, and who of them has been told, turn by turn of the event loop. */
function callers(count: number) {
  const told: number[] = [];
  const members = Array.from({ length: count }, (_, n) => {
    const member = new Member({} as never, 0, Infinity, { left: () => undefined });
    void member.outcome.then(
      () => told.push(n),
      () => told.push(-n),
    );
    return member;
  });
  return { members, results: members.map(() => RESULT), told };
}

/** All that is on its way in this turn of the event loop. */
const turn = (): Promise<void> => new Promise((done) => setImmediate(done));

const numbers = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);

describe('telling callers that their writes are done', () => {
  it('goes on in the next turn of the event loop when there are many, in order', async () => {
    const { members, results, told } = callers(20);
    new Telling().tell([{ members, results }]);
    await Promise.resolve();
    expect(told).toEqual(numbers(8));
    await turn();
    expect(told).toEqual(numbers(16));
    await turn();
    expect(told).toEqual(numbers(20));
  });

  it('ends when the last who were told have had a turn, so that what they write next is there', async () => {
    const { members, results, told } = callers(10);
    const telling = new Telling();
    const ends: string[] = [];
    telling.onceEnded(() => ends.push('nobody is told'));
    telling.tell([{ members, results }]);
    telling.onceEnded(() => ends.push('all are told'));
    await turn();
    expect([told, telling.isUnderWay, ends]).toEqual([numbers(10), true, ['nobody is told']]);
    await turn();
    expect([telling.isUnderWay, ends]).toEqual([false, ['nobody is told', 'all are told']]);
  });

  it('is not under way when a few have been told at once', () => {
    const telling = new Telling();
    telling.tell([callers(8)]);
    expect(telling.isUnderWay).toBe(false);
  });

  it('keeps to the order in which writes were done, whoever is told later', async () => {
    const telling = new Telling();
    const first = callers(10);
    const second = callers(3);
    telling.tell([first]);
    telling.tell([second]);
    await Promise.resolve();
    expect([first.told, second.told]).toEqual([numbers(8), []]);
    await turn();
    expect([first.told, second.told]).toEqual([numbers(10), numbers(3)]);
  });

  it('keeps to it when some have failed, and counts all of one COMMIT together', async () => {
    const { members, results, told } = callers(12);
    const outcomes = members.map((member, at) =>
      at % 2 === 1
        ? { members: [member], error: new Error('failed') }
        : { members: [member], results: [results[at]!] },
    );
    const telling = new Telling();
    telling.tell(outcomes);
    await Promise.resolve();
    expect([told, telling.isUnderWay]).toEqual([[0, -1, 2, -3, 4, -5, 6, -7], true]);
    await turn();
    expect(told.slice(8)).toEqual([8, -9, 10, -11]);
    await turn();
    expect(telling.isUnderWay).toBe(false);
  });

  it('settles all of them at once: a write that is done cannot be cut while its caller waits to hear of it', async () => {
    const { members, results, told } = callers(10);
    members[3]?.reject(new Error('cut before'));
    new Telling().tell([{ members, results }]);
    members[9]?.reject(new Error('cut after'));
    await turn();
    expect(told).toEqual([-3, 0, 1, 2, 4, 5, 6, 7, 8, 9]);
  });

  it('tells everyone at once when the pool is closed, and from then on', async () => {
    const telling = new Telling();
    const before = callers(20);
    const after = callers(20);
    const later = callers(20);
    telling.tell([before]);
    const ended = new Promise<void>((done) => {
      telling.onceEnded(done);
    });
    telling.close();
    telling.tell([after]);
    await ended;
    expect([before.told, after.told, telling.isUnderWay]).toEqual([numbers(20), numbers(20), false]);
    await turn();
    telling.tell([later]);
    await Promise.resolve();
    expect(later.told).toEqual(numbers(20));
  });
});
