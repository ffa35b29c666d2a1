import { expect, it } from 'vitest';
import { CommitCosts } from '../src/commit-costs.ts';

/** What it says of groups from 1 to 16 writes. */
function favoured(costs: CommitCosts): number[] {
  return Array.from({ length: 16 }, (_, n) => n + 1).filter((writes) => costs.favourSharing(writes));
}

const ALL_BUT_ONE = Array.from({ length: 15 }, (_, n) => n + 2);

it('what is not known yet is tried, but one write has nobody to share with', () => {
  const costs = new CommitCosts();
  expect(favoured(costs)).toEqual(ALL_BUT_ONE);
  costs.ranAlone(1);
  expect(costs.favourSharing(2)).toBe(true);
});

it('a COMMIT that waits for the disk is worth sharing between two', () => {
  const costs = new CommitCosts();
  costs.ranAlone(0.2);
  costs.shared(0.03, 0.2);
  expect(favoured(costs)).toEqual(ALL_BUT_ONE);
});

it('one that costs next to nothing is worth sharing when there are many', () => {
  const costs = new CommitCosts();
  costs.ranAlone(0.04);
  costs.shared(0.03, 0.1);
  expect(favoured(costs)).toEqual([10, 11, 12, 13, 14, 15, 16]);
});

it('what does not pay is tried again once in a while, and believed when it pays', () => {
  const costs = new CommitCosts();
  costs.ranAlone(1);
  costs.shared(1, 100);
  const tries = Array.from({ length: 100 }, () => costs.favourSharing(2));
  expect(tries.indexOf(true)).toBe(32);
  // Believed at once when it is better than it was, and by and by when it is worse.
  for (let n = 0; n < 8; n += 1) costs.shared(0.1, 0.1);
  expect(costs.favourSharing(2)).toBe(true);
  costs.shared(0.1, 50);
  expect(costs.favourSharing(2)).toBe(false);
});

it('what pays is held against a write alone once in a while', () => {
  const costs = new CommitCosts();
  const stale = Array.from({ length: 34 }, () => costs.isAloneStale());
  expect(stale.indexOf(true)).toBe(32);
  costs.ranAlone(1);
  expect(costs.isAloneStale()).toBe(false);
});

it('one stall of the machine does not change what was learnt', () => {
  const costs = new CommitCosts();
  for (let n = 0; n < 5; n += 1) costs.ranAlone(0.04);
  costs.shared(0.03, 0.1);
  costs.ranAlone(0.1);
  expect(costs.favourSharing(2)).toBe(false);
});
