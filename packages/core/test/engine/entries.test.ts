import { expect, it } from 'vitest';
import { Entries } from '../../src/engine/entries.ts';

it('an entry refuses a move that is not legal, and stays what it is', () => {
  const entries = new Entries<string>();
  const entry = entries.add(0);
  expect(() => entries.move(entry, 'validating')).toThrow('cannot go from opening to validating');
  expect(entries.counts).toMatchObject({ opening: 1, validating: 0 });
  entries.move(entry, 'closed');
  expect(() => entries.move(entry, 'idle')).toThrow('cannot go from closed to idle');
  expect(entries.alive).toBe(0);
});
