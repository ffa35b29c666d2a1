import { describe, expect, test } from 'vitest';
import { LongTexts, Placement, type PlacedThread } from '../../../src/drivers/worker/placement.ts';

const free = (waiting = 0, ownHandles = 0): PlacedThread => ({ isOccupied: false, waiting, ownHandles });
const occupied = (waiting = 1, ownHandles = 0): PlacedThread => ({ isOccupied: true, waiting, ownHandles });

/** The number of the thread that is chosen, `new` for one that is started. */
function choose(
  running: readonly PlacedThread[],
  most: number,
  choice: (placement: Placement<PlacedThread>) => PlacedThread,
): number | 'new' {
  const started = free();
  const chosen = choice(new Placement({ running, most, start: () => started }));
  return chosen === started ? 'new' : running.indexOf(chosen);
}

describe('a short call goes', () => {
  test.for<[string, readonly PlacedThread[], number, number | 'new']>([
    ['to a new thread if there is none', [], 2, 'new'],
    ['to the first, however much waits there', [free(99), free(0)], 2, 0],
    ['to the one with the fewest waiting if the first is occupied', [occupied(), free(3), free(2)], 4, 2],
    ['to a new one if all are occupied', [occupied(), occupied()], 3, 'new'],
    ['to the first if there may be no more', [occupied(9), occupied(1)], 2, 0],
  ])('%s', ([, running, most, expected]) => {
    expect(choose(running, most, (placement) => placement.forCall(false))).toBe(expected);
  });
});

describe('a long call goes', () => {
  test.for<[string, readonly PlacedThread[], number, number | 'new']>([
    ['to a new thread if there is none', [], 2, 'new'],
    ['not to the first', [free()], 2, 'new'],
    ['to the first if there may be no other', [free()], 1, 0],
    ['to another that has nothing to do', [free(), occupied(1), free(0)], 4, 2],
    ['to a new one if the others are at work', [free(), occupied(1)], 3, 'new'],
    ['to the other with the fewest waiting', [free(0), occupied(3), occupied(2)], 3, 2],
  ])('%s', ([, running, most, expected]) => {
    expect(choose(running, most, (placement) => placement.forCall(true))).toBe(expected);
  });
});

describe('a handle of a connection of its own goes', () => {
  test.for<[string, readonly PlacedThread[], number, number | 'new']>([
    ['to a new thread if there is none', [], 2, 'new'],
    ['to the one with the fewest', [free(0, 2), free(9, 1)], 4, 1],
    ['not to one that is occupied', [occupied(1, 0), free(0, 5)], 4, 1],
    ['to a new one if all are occupied', [occupied()], 2, 'new'],
    ['to the one with the fewest if there may be no more', [occupied(1, 2), occupied(1, 1)], 2, 1],
  ])('%s', ([, running, most, expected]) => {
    expect(choose(running, most, (placement) => placement.forOwnHandle())).toBe(expected);
  });
});

test('a text is long as long as its last run was, and not too many are remembered', () => {
  const texts = new LongTexts();
  texts.note('a', true);
  texts.note('b', false);
  expect([texts.has('a'), texts.has('b')]).toEqual([true, false]);
  texts.note('a', false);
  expect(texts.has('a')).toBe(false);
  for (let n = 0; n <= 1000; n += 1) texts.note(String(n), true);
  expect([texts.has('0'), texts.has('1000')]).toEqual([false, true]);
});
