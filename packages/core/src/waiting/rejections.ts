/**
 * How many callers may fail in one tick of the event loop. A caller's reaction to its failure runs before the event
 * loop goes on. A thousand reactions take some milliseconds; eighty thousand would take a second.
 */
const MAX_PER_TICK = 1000;

/** Callers that fail together. */
export interface Failing {
  /** Rejects the first of the remaining callers. Returns `false` if there is none. */
  failNext(): boolean;
}

// Read when this file loads, because test runners that replace timers also replace it, and it has nothing to do with
// time.
const atEndOfTick = setImmediate;
const crowds: Failing[] = [];
let failed = 0;
let state: 'resting' | 'at work' = 'resting';

/** Rejects the callers now. If there are many, rejects a limited number in each tick of the event loop. */
export function failTogether(crowd: Failing): void {
  crowds.push(crowd);
  if (state === 'resting') goOn();
}

function goOn(): void {
  state = 'at work';
  try {
    while (crowds[0] !== undefined && failed < MAX_PER_TICK) {
      if (failed === 0) atEndOfTick(onTick);
      failed += 1;
      if (!crowds[0].failNext()) crowds.shift();
    }
  } finally {
    state = 'resting';
  }
}

function onTick(): void {
  failed = 0;
  goOn();
}
