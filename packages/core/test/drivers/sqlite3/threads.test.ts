import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { NativeCalls } from '../../../src/drivers/sqlite3/calls.ts';
import {
  processThreads,
  threadCount,
  Threads,
  warnOfFew,
  type ThreadCall,
  type ThreadUser,
} from '../../../src/drivers/sqlite3/threads.ts';

/** Calls on a number of threads, with a clock that stands still. */
function bench(threads: number) {
  const clock = { now: 1000 };
  const slots = new Threads(threads, () => clock.now);
  const begun: ThreadCall[] = [];
  const enter = (user: ThreadUser): ThreadCall => {
    const call: ThreadCall = { user, since: Infinity, begin: () => void begun.push(call) };
    slots.enter(call);
    return call;
  };
  return { clock, slots, begun, enter };
}

describe('the number of threads', () => {
  it.for([
    [undefined, 4],
    ['4', 4],
    ['8', 8],
    [' 16 threads', 16],
    ['', 1],
    ['many', 1],
    ['0', 1],
    ['-1', 1024],
    ['5000', 1024],
  ] as const)('is read as libuv reads it: %j is %d', ([setting, threads]) => {
    expect(threadCount(setting)).toBe(threads);
  });

  it('is warned of if it is 1 or 2, with where to set it', () => {
    const emitWarning = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    warnOfFew(3);
    expect(emitWarning).not.toHaveBeenCalled();
    warnOfFew(2);
    expect(emitWarning).toHaveBeenCalledExactlyOnceWith(
      expect.stringMatching(/^UV_THREADPOOL_SIZE is 2: .* environment that the process is started with/),
      { type: 'SqlitePoolWarning', code: 'SQLITE_POOL_THREADS' },
    );
  });

  it('is that of the process, for all copies of the package', () => {
    expect(processThreads()).toBe(processThreads());
    expect(processThreads()).toBe(
      (globalThis as Record<symbol, unknown>)[Symbol.for('@sqlite-pool/core/threads')],
    );
  });
});

describe('the slots for calls that may run long', () => {
  it('are one less than threads, and for readers two less', () => {
    const { begun, enter } = bench(4);
    const [first, second, third] = [enter('reader'), enter('reader'), enter('reader')];
    expect(begun).toEqual([first, second]);
    const writer = enter('writer');
    const next = enter('writer');
    expect(begun).toEqual([first, second, writer]);
    expect(begun).not.toContain(third);
    expect(begun).not.toContain(next);
  });

  it.for([1, 2])('are one, for either, with %d threads', (threads) => {
    const { slots, begun, enter } = bench(threads);
    const reader = enter('reader');
    const writer = enter('writer');
    expect(begun).toEqual([reader]);
    slots.end(reader);
    expect(begun).toEqual([reader, writer]);
  });

  it('pass to the oldest waiter and may have them', () => {
    const { slots, begun, enter } = bench(4);
    const readers = [enter('reader'), enter('reader'), enter('reader'), enter('reader')];
    const writers = [enter('writer'), enter('writer')];
    expect(begun).toEqual([readers[0], readers[1], writers[0]]);
    slots.end(writers[0]!);
    expect(begun.at(-1)).toBe(writers[1]);
    slots.end(readers[1]!);
    expect(begun.at(-1)).toBe(readers[2]);
    slots.end(readers[0]!);
    expect(begun.at(-1)).toBe(readers[3]);
  });

  it('are taken by a short call that has run for 10 ms, until it ends', () => {
    const { clock, slots, begun, enter } = bench(4);
    const shorts = [slots.join(), slots.join()];
    for (const short of shorts) {
      short.user = 'reader';
      slots.sent(short);
    }
    clock.now += 9;
    const before = enter('reader');
    clock.now += 1;
    const after = enter('reader');
    expect(begun).toEqual([before]);
    slots.end(before);
    expect(begun).toEqual([before]);
    expect(slots.end(shorts[0]!)).toBe(10);
    expect(begun).toEqual([before, after]);
  });

  it('are released by a connection that is closed while a short call runs long', () => {
    const { clock, slots, begun, enter } = bench(2);
    const short = slots.join();
    slots.sent(short);
    clock.now += 100;
    const waiting = enter('writer');
    expect(begun).toEqual([]);
    slots.quit(short);
    expect(begun).toEqual([waiting]);
  });

  it('are not for a call that was withdrawn', () => {
    const { slots, begun, enter } = bench(2);
    const [first, second, third] = [enter('reader'), enter('reader'), enter('reader')];
    slots.cancel(second);
    slots.end(first);
    expect(begun).toEqual([first, third]);
  });

  it('are never more than there may be, and nobody waits for one that is free, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('enter' as const), user: fc.constantFrom<ThreadUser>('reader', 'writer') }),
      fc.record({
        do: fc.constantFrom('end', 'cancel', 'short begins', 'short ends', 'time passes'),
        at: fc.nat(20),
      }),
    );
    const model = fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 80 }), run);
    fc.assert(model, { numRuns: 500 });
  });
});

type Step =
  { readonly do: 'enter'; readonly user: ThreadUser } | { readonly do: string; readonly at: number };

function run(threads: number, steps: readonly Step[]): void {
  const { clock, slots, begun, enter } = bench(threads);
  const most = Math.max(1, threads - 1);
  const mostReaders = Math.max(1, threads - 2);
  const shorts = [slots.join(), slots.join(), slots.join()];
  const ended = new Set<ThreadCall>();
  const entered: ThreadCall[] = [];
  let waiting: ThreadCall[] = [];
  for (const step of steps) {
    const before = begun.length;
    const running = begun.filter((call) => !ended.has(call));
    if ('user' in step) {
      const call = enter(step.user);
      entered.push(call);
      waiting.push(call);
    } else if (step.do === 'end' && running.length > 0) {
      const call = running[step.at % running.length]!;
      ended.add(call);
      slots.end(call);
    } else if (step.do === 'cancel' && waiting.length > 0) {
      const [call] = waiting.splice(step.at % waiting.length, 1);
      slots.cancel(call!);
    } else if (step.do === 'short begins' || step.do === 'short ends') {
      const short = shorts[step.at % shorts.length]!;
      if ((short.since === Infinity) === (step.do === 'short begins')) {
        short.user = step.at % 2 === 0 ? 'reader' : 'writer';
        if (step.do === 'short begins') slots.sent(short);
        else slots.end(short);
      }
    } else if (step.do === 'time passes') clock.now += step.at;

    const now = begun.filter((call) => !ended.has(call));
    const long = shorts.filter(({ since }) => clock.now - since >= 10);
    const all = [...now, ...long];
    const readers = all.filter(({ user }) => user === 'reader');
    const admitted = begun.slice(before);
    waiting = waiting.filter((call) => !admitted.includes(call));
    // What was admitted in this step had a place; a short call that has become long since may have made it too many.
    if (admitted.length > 0) expect(all.length).toBeLessThanOrEqual(most);
    if (admitted.some(({ user }) => user === 'reader'))
      expect(readers.length).toBeLessThanOrEqual(mostReaders);
    expect(now.length).toBeLessThanOrEqual(most);
    const canBegin = waiting.filter(
      ({ user }) => all.length < most && (user === 'writer' || readers.length < mostReaders),
    );
    expect(canBegin).toEqual([]);
    // First come, first served, among readers and among writers: nobody waits who came before one that was admitted.
    for (const { user, ...call } of admitted.map((one) => ({ user: one.user, at: entered.indexOf(one) })))
      for (const other of waiting)
        if (other.user === user) expect(entered.indexOf(other)).toBeGreaterThan(call.at);
  }
}

describe('the calls of one connection', () => {
  const threads = () => new Threads(1, () => 0);

  it('release a slot when the package throws instead of calling back', async () => {
    const shared = threads();
    const refuse = (): never => {
      throw new TypeError('no SQL');
    };
    const calls = new NativeCalls(shared);
    await expect(calls.run({ ms: Infinity }, 'reader', refuse)).rejects.toThrow('no SQL');
    await expect(calls.run({ ms: 0 }, 'reader', refuse)).rejects.toThrow('no SQL');
    const next = calls.run({ ms: Infinity }, 'reader', (callback) => {
      callback(null, 'done');
    });
    await expect(next).resolves.toBe('done');
  });

  it('reject as interrupted, and never begin, when the connection is closed while they wait', async () => {
    const shared = threads();
    const [first, second] = [new NativeCalls(shared), new NativeCalls(shared)];
    void first.run({ ms: Infinity }, 'reader', () => undefined);
    const begin = vi.fn<() => void>();
    const waiting = second.run({ ms: Infinity }, 'writer', begin);
    second.quit();
    await expect(waiting).rejects.toMatchObject({ errno: 9 });
    expect(begin).not.toHaveBeenCalled();
  });
});

describe('short calls', () => {
  /** Connections, of which the first two have all threads, in a program that does something else between two reads. */
  function crowd() {
    const clock = { now: 1000 };
    const shared = new Threads(2, () => clock.now);
    const [one, two, three, four] = [0, 1, 2, 3].map(() => new NativeCalls(shared)) as [
      NativeCalls,
      NativeCalls,
      NativeCalls,
      NativeCalls,
    ];
    const reads = (times: number, apartMs: number): boolean => {
      let goes = false;
      for (let n = 0; n < times; n += 1) {
        clock.now += apartMs;
        goes = three.goesAtOnce('reader');
      }
      return goes;
    };
    expect(reads(50, 0.035)).toBe(true);
    const taken = [one, two].map((calls) => {
      expect(reads(1, 0.035)).toBe(true);
      const call = calls.short('reader');
      calls.sent(call);
      return call;
    });
    return { one, two, three, four, taken, reads };
  }

  it('go at once while a thread is free for them, and if they write', () => {
    const { one, two, three, taken, reads } = crowd();
    expect(reads(1, 0.035)).toBe(false);
    expect(three.goesAtOnce('writer')).toBe(true);
    one.end(taken[0]!);
    expect(reads(1, 0.035)).toBe(true);
    // One that ends before it is sent has taken no thread.
    one.end(taken[0]!);
    three.sent(three.short('reader'));
    expect(reads(1, 0.035)).toBe(false);
    two.quit();
    expect(reads(1, 0.035)).toBe(true);
  });

  it('go at once while they come close together, because that keeps threads awake', () => {
    const { reads } = crowd();
    expect(reads(1, 0.035)).toBe(false);
    expect(reads(40, 0.008)).toBe(true);
    // A pause says nothing of what comes after it.
    expect(reads(1, 60_000)).toBe(true);
    expect(reads(40, 0.035)).toBe(false);
  });

  it('that only read go together at the end of the tick of the event loop when no thread is free', async () => {
    const { three, four } = crowd();
    const begun: string[] = [];
    const fail = vi.fn<(error: unknown) => void>();
    three.together('reader', ({ user }) => begun.push(`third ${user}`), fail);
    await Promise.resolve();
    four.together('reader', () => begun.push('fourth'), fail);
    await Promise.resolve();
    expect(begun).toEqual([]);
    await setImmediate();
    expect(begun).toEqual(['third reader', 'fourth']);
    three.together('reader', () => begun.push('third again'), fail);
    await setImmediate();
    expect(begun).toHaveLength(3);
    expect(fail).not.toHaveBeenCalled();
  });

  it('that are interrupted before they go never begin, and one that the package refuses ends nothing else', async () => {
    const { three, four } = crowd();
    const begin = vi.fn<() => void>();
    const failed: unknown[] = [];
    const refusal = new TypeError('closed');
    const refuse = (): never => {
      throw refusal;
    };
    three.together('reader', begin, (error) => failed.push(error));
    three.interrupt();
    three.interrupt();
    expect(failed).toMatchObject([{ errno: 9 }]);
    three.together('reader', refuse, (error) => failed.push(error));
    four.together('reader', begin, (error) => failed.push(error));
    await setImmediate();
    expect(failed).toMatchObject([{ errno: 9 }, refusal]);
    expect(begin).toHaveBeenCalledOnce();
  });
});
