import { atEndOfTick, outsideCalls, systemClock } from '../../waiting/deadline.ts';
import { LinkedList, type Listed } from '../../waiting/linked-list.ts';
import { LONG_MS } from './estimates.ts';

/**
 * The sqlite3 package runs every call on the thread pool of libuv, which the file system, DNS and `crypto` of Node.js need
 * too. So calls that may run long share slots, fewer than there are threads, over all pools of the process. Short ones
 * take none: a bound on those would halve their throughput.
 *
 * Short reads of a program that does more than to read, an HTTP server for example, are sent together, at the end of the turn of
 * the event loop, as soon as there are as many calls under way as threads. Sent one by one, as others end, nearly every one wakes
 * a thread that has just gone to sleep, which takes longer than the read; and the event loop can have to wait until the
 * thread it has woken before is awake. Reads that come close together find the threads awake, and go at once: held back, they
 * would leave them nothing to do.
 */

/** Who a call is for: a writer must not wait behind readers that run for ever, so readers get one slot less. */
export type ThreadUser = 'reader' | 'writer';

/** A call that is on a thread, or waits for a slot. */
export interface ThreadCall {
  user: ThreadUser;
  /** When it was sent; `Infinity` if it was not. */
  since: number;
  /** Of a call that needs a slot: begins it. */
  readonly begin?: () => void;
}

/** A call that is sent at the end of this turn of the event loop. */
export interface LaterCall extends Listed<LaterCall> {
  readonly begin: () => void;
}

/** Lets as many long calls run as leave a thread for everything else. */
export class Threads {
  readonly #now: () => number;
  readonly #threads: number;
  readonly #most: number;
  readonly #mostReaders: number;
  readonly #running: Record<ThreadUser, number> = { reader: 0, writer: 0 };
  /** In the order in which they came. */
  readonly #waiting = new Set<ThreadCall>();
  readonly #shortCalls = new Set<ThreadCall>();
  /** How many were sent and have not ended. */
  #underWay = 0;
  /** When the latest short read came, and how far apart they come, lately. */
  #latestRead = 0;
  #gapMs = 0;
  readonly #together = new LinkedList<LaterCall>();

  /** @param threads - How many libuv has. */
  constructor(threads: number, now: () => number = () => systemClock.now()) {
    this.#now = now;
    this.#threads = threads;
    this.#most = Math.max(1, threads - 1);
    this.#mostReaders = Math.max(1, threads - 2);
  }

  /** Adds a connection: what is returned stands for its calls without a slot, of which there is one at a time. */
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

  /** Takes back a call that waits for its slot. */
  cancel(call: ThreadCall): void {
    this.#waiting.delete(call);
  }

  /** Notes that a short read comes, and says when it is best sent. */
  noteRead(): 'at once' | 'together' {
    const now = this.#now();
    this.#gapMs += (Math.min(now - this.#latestRead, LONGEST_GAP_MS) - this.#gapMs) / GAPS;
    this.#latestRead = now;
    return this.#underWay >= this.#threads && this.#gapMs > ASLEEP_AFTER_MS ? 'together' : 'at once';
  }

  /** Begins a call at the end of this turn of the event loop. */
  together(call: LaterCall): void {
    if (this.#together.size === 0) atEndOfTick(this.#beginAll);
    this.#together.add(call);
  }

  /** Takes that back. */
  notTogether(call: LaterCall): void {
    this.#together.delete(call);
  }

  readonly #beginAll = (): void => {
    for (let call = this.#together.shift(); call; call = this.#together.shift()) call.begin();
  };

  /** Notes that a call is sent, with a slot or as one that needs none. */
  sent(call: ThreadCall): void {
    this.#underWay += 1;
    call.since = this.#now();
  }

  /** Ends a call that has begun; says how long it took since it was sent, in milliseconds. */
  end(call: ThreadCall): number {
    const ms = Math.max(0, this.#now() - call.since);
    this.#over(call);
    if (call.begin !== undefined) this.#running[call.user] -= 1;
    // Of calls without a slot only a long one can have kept others waiting.
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
      // Whose end has made room is not whose call begins.
      outsideCalls(() => next.begin?.());
    }
  }

  /** The first in line for whom there is a slot. */
  #next(): ThreadCall | undefined {
    if (this.#waiting.size === 0) return undefined;
    let { reader: readers, writer: writers } = this.#running;
    // What was taken for short and runs long has a thread all the same.
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
 * When reads come further apart than this, in milliseconds, threads are taken to sleep in between. Tried: of 0.01 to 0.02 the one
 * that cost programs that only read the least; those come to about 0.006 for each read, HTTP servers to 0.03 and more.
 */
const ASLEEP_AFTER_MS = 0.02;
/** A pause, in milliseconds, counts for no more than this: it says nothing of what comes after it. */
const LONGEST_GAP_MS = 0.1;
/** Over about how many gaps the mean is taken. */
const GAPS = 16;

/**
 * How many threads libuv makes of the environment: https://docs.libuv.org/en/v1.x/threadpool.html
 * Without a setting a version of Node.js may make more of them, which does no harm.
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

/** With fewer, a reader and a writer that run long leave nothing for anybody else. */
const FEWEST_THREADS = 3;

/** Warns, if `threads` are too few to keep one free for others. */
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

/** Those of this process. Their number is read once, at the first open, and that is also when few of them are warned of. */
export function processThreads(): Threads {
  if (shelf[KEY] !== undefined) return shelf[KEY];
  warnOfFew(THREADS);
  return (shelf[KEY] = new Threads(THREADS));
}

/** Read when the module is loaded: a program that sets it later is too late, as far as we know. */
const THREADS = threadCount(process.env['UV_THREADPOOL_SIZE']);
