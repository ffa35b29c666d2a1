import { describe, expect, it, vi } from 'vitest';
import type { Result } from '../../src/driver.ts';
import type { Entry } from '../../src/engine/entries.ts';
import type { Call } from '../../src/query/call.ts';
import type { Session } from '../../src/connection/session.ts';
import { fakeClock } from '../../src/testing/index.ts';
import { WalMonitor, type Reader } from '../../src/database/wal-monitor.ts';
import { byHand } from '../pool/support.ts';
import { observerOf } from '../diagnostics/support.ts';

/** What a checkpoint finds: the pages in the WAL, and those it could write back. */
type Found = readonly [walPages: number, checkpointedPages: number] | 'busy' | Error;

/** A WAL as the care for it sees it. */
function bench() {
  const world = {
    bytes: 20 * 2 ** 20,
    hasConnection: true,
    isLockFree: true,
    doesLockCome: true,
    isIdle: true,
    passive: [100, 100] as Found,
    truncate: [0, 0] as Found,
    readers: [] as Reader[],
    log: [] as string[],
  };
  const perform = ({ statement }: Call): Promise<Result> => {
    const mode = /\((\w+)\)/.exec(statement.sql)![1] as 'passive' | 'truncate';
    expect(statement.readonly).toBe(true);
    world.log.push(mode);
    const found = world[mode];
    if (found instanceof Error) return Promise.reject(found);
    const [log, checkpointed] = found === 'busy' ? [-1, -1] : found;
    const rows = [{ busy: found === 'busy' ? 1 : 0, log, checkpointed }];
    return Promise.resolve({ rows, columns: [], changes: 0, lastInsertRowid: 0 });
  };
  // The care for the WAL does nothing else with it.
  const entry = { resource: { perform }, state: 'leased' } as unknown as Entry<Session>;
  const clock = fakeClock();
  const care = new WalMonitor(
    { observer: observerOf(clock), walLimitBytes: 16 * 2 ** 20, closed: new AbortController().signal },
    {
      walBytes: () => Promise.resolve(world.bytes),
      writeLock: {
        tryAcquire: () => {
          if (world.isLockFree) world.log.push('lock');
          return world.isLockFree;
        },
        acquire: (limit) => {
          if (!world.doesLockCome) return Promise.reject(limit.timeoutError(0));
          return Promise.resolve(world.log.push('lock'));
        },
        release: () => void world.log.push('unlock'),
      },
    },
    {
      tryAcquireIdle: () => {
        world.log.push('take idle');
        return world.isIdle ? entry : undefined;
      },
      acquireForChore: (urgent) => {
        world.log.push(urgent ? 'take urgently' : 'acquire');
        return Promise.resolve(world.hasConnection ? entry : undefined);
      },
      release: () => Promise.resolve(void world.log.push('release')),
    },
    {
      readers: () => world.readers,
    },
  );
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  /** Looks so many times, a second apart. */
  const look = async (times = 1): Promise<string[]> => {
    world.log.length = 0;
    for (; times > 0; times -= 1) {
      await clock.advance(1000);
      await care.check();
    }
    return world.log;
  };
  return { world, care, look, warnings: () => warned.mock.calls.map(([message]) => String(message)), warned };
}

const reader = (what: Reader['what'], stack?: string): Reader => ({ what, reading: {}, stack });

describe('the care for the WAL', () => {
  it('does nothing while the WAL is no larger than its limit, and knows how large it is', async () => {
    const { world, care, look } = bench();
    world.bytes = 16 * 2 ** 20;
    expect(care.bytes).toBe(0);
    expect(await look()).toEqual([]);
    expect(care.bytes).toBe(16 * 2 ** 20);
  });

  it('writes a larger one back, and truncates it while it holds the write lock', async () => {
    const { look } = bench();
    expect(await look()).toEqual(['acquire', 'passive', 'lock', 'truncate', 'unlock', 'release']);
  });

  it('does without where there is no connection to be had, and stands in line when the WAL is twice as large', async () => {
    const { world, look } = bench();
    world.hasConnection = false;
    expect(await look()).toEqual(['acquire']);
    world.bytes = 33 * 2 ** 20;
    expect(await look()).toEqual(['take urgently']);
  });

  it('leaves it alone while another checkpoint is under way, and that says nothing of readers', async () => {
    const { world, look, warnings } = bench();
    world.passive = 'busy';
    expect(await look()).toEqual(['acquire', 'passive', 'release']);
    world.passive = [100, 40];
    await look(2);
    world.passive = 'busy';
    await look(5);
    expect(warnings()).toEqual([]);
  });

  it('tries five times to truncate', async () => {
    const { world, look } = bench();
    world.truncate = 'busy';
    expect((await look()).filter((what) => what === 'truncate')).toHaveLength(5);
    expect(world.log.slice(-2)).toEqual(['unlock', 'release']);
  });

  it('releases the write lock and the connection when a checkpoint fails, and goes on the next time', async () => {
    const { world, look } = bench();
    world.truncate = new Error('disk');
    expect(await look()).toEqual(['acquire', 'passive', 'lock', 'truncate', 'unlock', 'release']);
    world.passive = new Error('disk');
    expect(await look()).toEqual(['acquire', 'passive', 'release']);
    world.passive = [100, 100];
    world.truncate = [0, 0];
    expect(await look()).toContain('truncate');
  });

  it.each([
    [true, ['take idle', 'truncate', 'unlock', 'release']],
    [false, ['take idle', 'unlock']],
  ])('waits for the lock without a connection, and then needs an idle one (%s)', async (isIdle, rest) => {
    const { world, look } = bench();
    world.isLockFree = false;
    world.isIdle = isIdle;
    expect(await look()).toEqual(['acquire', 'passive', 'release', 'lock', ...rest]);
  });

  it('gives up on a lock that it does not get, with no connection in its hand', async () => {
    const { world, care } = bench();
    Object.assign(world, { isLockFree: false, doesLockCome: false });
    await care.check();
    expect(world.log).toEqual(['acquire', 'passive', 'release']);
  });

  it('is not there twice at a time', async () => {
    const clock = fakeClock();
    const { promise, resolve } = byHand();
    const walBytes = vi.fn<() => Promise<number>>(() => promise.then(() => 0));
    const unused = (): never => expect.fail('nothing is to be done');
    const care = new WalMonitor(
      { observer: observerOf(clock), walLimitBytes: 1, closed: new AbortController().signal },
      { walBytes, writeLock: { tryAcquire: unused, acquire: unused, release: unused } },
      { acquireForChore: unused, tryAcquireIdle: unused, release: unused },
      { readers: unused },
    );
    const first = care.check();
    await care.check();
    expect(walBytes).toHaveBeenCalledOnce();
    resolve();
    await first;
    await care.check();
    expect(walBytes).toHaveBeenCalledTimes(2);
  });
});

describe('a reader that stops three checkpoints in a row at the same page', () => {
  it('is warned of once, with its stack, how long it reads and how large the WAL is; and again the next time', async () => {
    const { world, look, warned, warnings } = bench();
    world.passive = [100, 40];
    const newcomer = reader('a statement', 'at newcomer');
    world.readers = [reader('an open cursor', 'at forgotten')];
    await look(2);
    world.readers.unshift(newcomer);
    expect(warnings()).toEqual([]);
    await look(10);
    expect(warnings()).toEqual([
      'The WAL has grown to 20 MiB, because something that has been reading for long keeps it from being written back. ' +
        'It is a lease with an open cursor, for at least 2 s. It was acquired here:\nat forgotten',
    ]);
    expect(warned.mock.calls[0]?.[1]).toEqual({ type: 'SqlitePoolWarning', code: 'SQLITE_POOL_WAL' });
    expect(world.log).not.toContain('truncate');
    world.passive = [100, 100];
    await look();
    world.passive = [100, 40];
    await look(10);
    expect(warnings()).toHaveLength(2);
  });

  it('is said to be a lease of which nothing is known without leakWarningMs', async () => {
    const { world, look, warnings } = bench();
    world.passive = [100, 40];
    world.readers = [reader('a transaction')];
    await look(3);
    expect(warnings()).toEqual([
      expect.stringMatching(/a lease with a transaction, for at least 2 s. Set leakWarningMs to see/),
    ]);
  });

  it.for([
    ['nobody reads', () => []],
    ['every reader has begun since', () => [reader('a statement', 'at innocent')]],
  ] as const)('is no lease of this pool if %s', async ([, readers]) => {
    const { world, look, warnings } = bench();
    world.passive = [100, 40];
    for (let n = 0; n < 3; n += 1) {
      world.readers = readers();
      await look();
    }
    expect(warnings()).toEqual([
      expect.stringMatching(/It is no lease of this pool: another pool or process/),
    ]);
  });

  it('is none if they stop at another page each time: then the WAL is truncated while nobody writes', async () => {
    const { world, look, warnings } = bench();
    world.readers = [reader('a statement')];
    for (let page = 40; page < 50; page += 1) {
      world.passive = [100, page];
      expect((await look()).includes('truncate')).toBe(page > 40);
    }
    expect(warnings()).toEqual([]);
  });

  it('is forgotten when the WAL is small again', async () => {
    const { world, look, warnings } = bench();
    world.passive = [100, 40];
    await look(2);
    world.bytes = 0;
    await look();
    world.bytes = 20 * 2 ** 20;
    await look(2);
    expect(warnings()).toEqual([]);
  });
});
