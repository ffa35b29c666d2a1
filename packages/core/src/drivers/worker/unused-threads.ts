import { outsideCalls, systemClock } from '../../waiting/deadline.ts';
import type { Thread, ThreadOwner, ThreadSettings } from './thread.ts';

/** How long a thread without a database is kept, in milliseconds. To start one takes as long as hundreds of statements. */
const KEEP_MS = 1000;

/** The unused threads, by their settings. The next pool or connection takes one of them. */
const unused = new Map<string, Thread[]>();

/** Returns an unused thread, if there is one. */
export function takeUnused(settings: ThreadSettings, owner: ThreadOwner): Thread | undefined {
  const thread = unused.get(keyOf(settings))?.pop();
  if (thread !== undefined) thread.owner = owner;
  return thread;
}

/** Keeps a thread without a database for a while, and then ends it. */
export function keepUnused(settings: ThreadSettings, thread: Thread): void {
  const key = keyOf(settings);
  const kept = unused.get(key) ?? [];
  unused.set(key, kept);
  kept.push(thread);
  const forget = (): boolean => {
    const at = kept.indexOf(thread);
    if (at >= 0) kept.splice(at, 1);
    return at >= 0;
  };
  thread.owner = { onOccupied: () => undefined, onUnused: () => undefined, onEnd: forget };
  const { owner } = thread;
  const endIfUnused = (): void => {
    if (thread.owner === owner && forget()) thread.end();
  };
  outsideCalls(() => systemClock.schedule(endIfUnused, KEEP_MS, true));
}

function keyOf({ binding, setup }: ThreadSettings): string {
  return JSON.stringify([binding, setup]);
}
