/**
 * How many callers may fail in one turn of the event loop. What a caller does about its failure runs before the event loop
 * goes on: a thousand of them take some milliseconds, and eighty thousand would take a second.
 */
const MOST_IN_ONE_TURN = 1000;

/** Callers that fail together. */
export interface Failing {
  /** Fails the first of those that are left; `false` if there is none. */
  failNext(): boolean;
}

// Taken when this is loaded, because test runners that replace timers replace it too, and it has nothing to do with time.
const atEndOfTurn = setImmediate;
const crowds: Failing[] = [];
let failed = 0;
let state: 'resting' | 'at work' = 'resting';

/** Has callers fail: now, or, if they are many, so many in each turn of the event loop. */
export function failTogether(crowd: Failing): void {
  crowds.push(crowd);
  if (state === 'resting') goOn();
}

function goOn(): void {
  state = 'at work';
  try {
    while (crowds[0] !== undefined && failed < MOST_IN_ONE_TURN) {
      if (failed === 0) atEndOfTurn(nextTurn);
      failed += 1;
      if (!crowds[0].failNext()) crowds.shift();
    }
  } finally {
    state = 'resting';
  }
}

function nextTurn(): void {
  failed = 0;
  goOn();
}
