import { expect, it } from 'vitest';
import { limitOf } from '../../src/waiting/deadline.ts';
import { Gate } from '../../src/waiting/gate.ts';
import { fakeClock } from '../../src/testing/fake-clock.ts';
import { WriteTurn } from '../../src/connection/write-turn.ts';

it('a connection takes the turn to write once, however often it asks, and gives it up once', () => {
  const gate = new Gate(2);
  const turn = new WriteTurn(gate);
  expect([turn.tryTake(), turn.tryTake(), gate.held]).toEqual([true, true, 1]);
  turn.leave();
  turn.leave();
  expect(gate.held).toBe(0);
  expect([turn.tryTake(), gate.held]).toEqual([true, 1]);
});

it('a connection whose turn has not come does not have it, and gives nothing up', async () => {
  const gate = new Gate();
  const [first, second] = [new WriteTurn(gate), new WriteTurn(gate)];
  expect([first.tryTake(), second.tryTake()]).toEqual([true, false]);
  second.leave();
  expect(gate.held).toBe(1);
  const taken = second.take(limitOf(fakeClock(), Infinity, () => new Error('never')));
  first.leave();
  await taken;
  expect([second.tryTake(), first.tryTake(), gate.held]).toEqual([true, false, 1]);
  second.leave();
  expect(gate.held).toBe(0);
});
