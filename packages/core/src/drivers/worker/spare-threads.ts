import { outsideCalls, systemClock } from '../../waiting/deadline.ts';
import type { Thread, ThreadOwner, ThreadSettings } from './thread.ts';

/** How long a thread without a database is kept, in milliseconds. To start one takes as long as hundreds of statements. */
const KEEP_MS = 1000;

/** The unused threads, by their settings. The next pool or connection takes one of them. */
const spares = new Map<string, Thread[]>();

/** Returns a spare thread, if there is one. */
export function takeSpare(settings: ThreadSettings, owner: ThreadOwner): Thread | undefined {
  const thread = spares.get(keyOf(settings))?.pop();
  if (thread !== undefined) thread.owner = owner;
  return thread;
}

/** Keeps a thread without a database for a while, and then ends it. */
export function keepSpare(settings: ThreadSettings, thread: Thread): void {
  const key = keyOf(settings);
  const kept = spares.get(key) ?? [];
  spares.set(key, kept);
  kept.push(thread);
  const forget = (): boolean => {
    const at = kept.indexOf(thread);
    if (at >= 0) kept.splice(at, 1);
    return at >= 0;
  };
  thread.owner = { onOccupied: () => undefined, onUnused: () => undefined, onEnd: forget };
  const { owner } = thread;
  const endIfSpare = (): void => {
    if (thread.owner === owner && forget()) thread.end();
  };
  outsideCalls(() => systemClock.schedule(endIfSpare, KEEP_MS, true));
}

function keyOf({ binding, setup }: ThreadSettings): string {
  return JSON.stringify([binding, setup]);
}
