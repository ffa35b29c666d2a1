import { vi } from 'vitest';
import { systemClock } from '../../src/waiting/deadline.ts';
import { fakeClock, type FakeClock } from '../../src/testing/index.ts';

/** Puts a fake clock in the place of the machine's until the test ends. Fake timers do not: the pool keeps its own. */
export function standingClock(): FakeClock {
  const clock = fakeClock();
  vi.spyOn(systemClock, 'now').mockImplementation(clock.now);
  vi.spyOn(systemClock, 'schedule').mockImplementation(clock.schedule);
  return clock;
}
