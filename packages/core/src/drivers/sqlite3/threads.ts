import { atEndOfTick, outsideCalls, systemClock } from '../../waiting/deadline.ts';
import { LinkedList, type Listed } from '../../waiting/linked-list.ts';
import { LONG_MS } from './estimates.ts';

/**
 * The sqlite3 package runs every call on the thread pool of libuv. The file system, DNS and `crypto` of Node.js need
 * these threads, too. So calls that may be long share a limited number of slots, fewer than there are threads, over all
 * pools of the process. Short calls take no slot: a limit on them would halve their throughput.
 *
 * In a program that does more than read, an HTTP server for example, short reads are sent together. They are sent at
 * the end of the tick of the event loop, as soon as there are as many running calls as threads. If they were sent one
 * by one, when other calls end, nearly every one would wake a thread that has just gone to sleep. That takes longer
 * than the read, and the event loop may have to wait until the thread is awake. Reads in quick succession find the
 * threads awake, and are sent at once: if they were held back, the threads would have nothing to do.
 */

/** The user class of a call. A writer must not wait behind readers that run for ever, so readers get one slot less. */
export type ThreadUser = 'reader' | 'writer';

/** A call that runs on a thread, or waits for a slot. */
export interface ThreadCall {
  user: ThreadUser;
  /** The time at which it was sent; `Infinity` before that. */
  since: number;
  /** Begins the call, if it needs a slot. */
  readonly begin?: () => void;
}

/** A call that is sent at the end of this tick of the event loop. */
export interface LaterCall extends Listed<LaterCall> {
  readonly begin: () => void;
}

/** Limits the long calls, so that one thread stays free for everything else. */
export class Threads {
  readonly #now: () => number;
  readonly #threads: number;
  readonly #most: number;
  readonly #mostReaders: number;
  readonly #running: Record<ThreadUser, number> = { reader: 0, writer: 0 };
  /** In the order of their arrival. */
  readonly #waiting = new Set<ThreadCall>();
  readonly #shortCalls = new Set<ThreadCall>();
  /** The number of calls that were sent and have not ended. */
  #underWay = 0;
  /** The time of the latest short read, and the recent mean time between two of them. */
  #latestRead = 0;
  #gapMs = 0;
  readonly #together = new LinkedList<LaterCall>();

  /**
   * @param threads - The number of threads of libuv.
   */
  constructor(threads: number, now: () => number = () => systemClock.now()) {
    this.#now = now;
    this.#threads = threads;
    this.#most = Math.max(1, threads - 1);
    this.#mostReaders = Math.max(1, threads - 2);
  }

  /** Adds a connection. The returned object stands for its calls without a slot, of which there is one at a time. */
  join(): ThreadCall {
    const call: ThreadCall = { user: 'writer', since: Infinity };
    this.#shortCalls.add(call);
    return call;
  }

  /** Removes a connection. */
  quit(call: ThreadCall): void {
    this.#shortCalls.delete(call);
    this.#over(call);
    this.#admit();
  }

  /** Begins a call as soon as there is a slot for it, which may be at once. */
  enter(call: ThreadCall): void {
    this.#waiting.add(call);
    this.#admit();
  }

  /** Withdraws a call that waits for its slot. */
  cancel(call: ThreadCall): void {
    this.#waiting.delete(call);
  }

  /** Notes the arrival of a short read, and decides when to send it. */
  noteRead(): 'at once' | 'together' {
    const now = this.#now();
    this.#gapMs += (Math.min(now - this.#latestRead, LONGEST_GAP_MS) - this.#gapMs) / GAPS;
    this.#latestRead = now;
    return this.#underWay >= this.#threads && this.#gapMs > ASLEEP_AFTER_MS ? 'together' : 'at once';
  }

  /** Begins a call at the end of this tick of the event loop. */
  together(call: LaterCall): void {
    if (this.#together.size === 0) atEndOfTick(this.#beginAll);
    this.#together.add(call);
  }

  /** Withdraws such a call. */
  notTogether(call: LaterCall): void {
    this.#together.delete(call);
  }

  readonly #beginAll = (): void => {
    for (let call = this.#together.shift(); call; call = this.#together.shift()) call.begin();
  };

  /** Notes that a call is sent, with or without a slot. */
  sent(call: ThreadCall): void {
    this.#underWay += 1;
    call.since = this.#now();
  }

  /** Ends a call that has begun. Returns the time since it was sent, in milliseconds. */
  end(call: ThreadCall): number {
    const ms = Math.max(0, this.#now() - call.since);
    this.#over(call);
    if (call.begin !== undefined) this.#running[call.user] -= 1;
    // A call without a slot can have kept others waiting only if it was long.
    if (call.begin !== undefined || ms >= LONG_MS) this.#admit();
    return ms;
  }

  #over(call: ThreadCall): void {
    if (call.since !== Infinity) this.#underWay -= 1;
    call.since = Infinity;
  }

  #admit(): void {
    for (;;) {
      const next = this.#next();
      if (next === undefined) return;
      this.#waiting.delete(next);
      this.#running[next.user] += 1;
      // The call that begins belongs to another caller than the call whose end has freed the slot.
      outsideCalls(() => next.begin?.());
    }
  }

  /** The first waiting call that a slot is free for. */
  #next(): ThreadCall | undefined {
    if (this.#waiting.size === 0) return undefined;
    let { reader: readers, writer: writers } = this.#running;
    // A call without a slot that turns out to be long also occupies a thread.
    const latest = this.#now() - LONG_MS;
    for (const { user, since } of this.#shortCalls) {
      if (since > latest) continue;
      if (user === 'reader') readers += 1;
      else writers += 1;
    }
    if (readers + writers >= this.#most) return undefined;
    for (const call of this.#waiting) {
      if (call.user === 'writer' || readers < this.#mostReaders) return call;
    }
    return undefined;
  }
}

/**
 * When the mean gap between reads is longer than this, in milliseconds, the threads are assumed to sleep in between. Of
 * the values tried, from 0.01 to 0.02, this one slowed down read-only programs the least. Their mean gap is about
 * 0.006; that of HTTP servers is 0.03 and more.
 */
const ASLEEP_AFTER_MS = 0.02;
/** A longer gap, in milliseconds, counts only as this: a pause says nothing about the reads after it. */
const LONGEST_GAP_MS = 0.1;
/** The mean is taken over about this many gaps. */
const GAPS = 16;

/**
 * The number of threads that libuv makes for this environment: https://docs.libuv.org/en/v1.x/threadpool.html Without a
 * setting, a version of Node.js may make more of them, which does no harm.
 */
export function threadCount(setting: string | undefined): number {
  if (setting === undefined) return DEFAULT_THREADS;
  // As atoi() reads it, into an unsigned number.
  const threads = Number.parseInt(setting, 10);
  if (threads < 0) return MOST_THREADS;
  return Math.min(threads || 1, MOST_THREADS);
}

const DEFAULT_THREADS = 4;
const MOST_THREADS = 1024;

/** With fewer threads, one long reader and one long writer leave no thread for other calls. */
const FEWEST_THREADS = 3;

/** Warns if there are too few `threads` to keep one free for other calls. */
export function warnOfFew(threads: number): void {
  if (threads >= FEWEST_THREADS) return;
  process.emitWarning(
    `UV_THREADPOOL_SIZE is ${String(threads)}: a query that runs long then keeps writes, other queries or the file system ` +
      'waiting. Set it to 4 or more in the environment that the process is started with (not in the program, where it can ' +
      'be too late), or leave it out.',
    { type: 'SqlitePoolWarning', code: 'SQLITE_POOL_THREADS' },
  );
}

// On globalThis, so that the ESM and the CommonJS copy of this package share it when a process loads both.
const KEY = Symbol.for('@sqlite-pool/core/threads');
const shelf = globalThis as { [KEY]?: Threads | undefined };

/** The threads of this process. The first open reads their number, and warns if there are too few. */
export function processThreads(): Threads {
  if (shelf[KEY] !== undefined) return shelf[KEY];
  warnOfFew(THREADS);
  return (shelf[KEY] = new Threads(THREADS));
}

/** Read when this module loads. As far as we know, a program that sets the variable later is too late. */
const THREADS = threadCount(process.env['UV_THREADPOOL_SIZE']);
