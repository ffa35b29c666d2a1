import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { acquireChannel, queryChannel, transactionChannel } from '../../src/channels.ts';
import type { SqlitePool } from '../../src/index.ts';
import { RequestLease } from '../../src/plugin.ts';
import { errorOf, fakePool, follow, type FakePool } from './support.ts';

const forEver = new Promise<never>(() => undefined);

/** Every way to hold a connection for long, each called by a function of this name. */
const WAYS: readonly { readonly how: string; readonly culprit: (pool: SqlitePool) => unknown }[] = [
  {
    how: 'acquire()',
    culprit: function culprit(pool) {
      return pool.acquire().then(() => forEver);
    },
  },
  {
    how: 'connection()',
    culprit: function culprit(pool) {
      return pool.connection(() => forEver);
    },
  },
  {
    how: 'transaction()',
    culprit: function culprit(pool) {
      return pool.transaction(() => forEver);
    },
  },
  {
    how: 'iterate()',
    culprit: function culprit(pool) {
      return pool.iterate('SELECT 1').next();
    },
  },
  {
    how: 'a read of a request',
    culprit: function culprit(pool) {
      return new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'GET' }).connection(
        () => forEver,
      );
    },
  },
  {
    how: 'a write of a request',
    culprit: function culprit(pool) {
      const db = new RequestLease(pool, { mode: 'request', disconnectGraceMs: 1000, method: 'POST' });
      return db.transaction(() => forEver);
    },
  },
];

/** What each had to wait for before it had its connection. */
const WAITS: readonly {
  readonly when: string;
  readonly before: (fake: FakePool) => Promise<(() => unknown) | undefined>;
}[] = [
  { when: 'the pool had to open a connection', before: () => Promise.resolve(undefined) },
  {
    when: 'it had to wait for a connection',
    before: async ({ pool }) => {
      const lease = await pool.acquire();
      return () => lease.release();
    },
  },
  {
    when: 'other writers came first',
    before: async ({ pool, clock }) => {
      let end = (): void => undefined;
      const first = pool.transaction(() => new Promise<void>((done) => (end = done)));
      await clock.settle();
      return () => {
        end();
        return first;
      };
    },
  },
];

/** Something that listens puts frames of its own between the pool and its caller. */
const LISTENERS = [
  { who: 'nothing listens', channels: [] },
  { who: 'a tracer listens', channels: [acquireChannel, queryChannel, transactionChannel] },
];

describe('the stack of an acquire', () => {
  it.for(
    WAYS.flatMap((way) =>
      WAITS.flatMap((wait) => LISTENERS.map((listeners) => ({ ...way, ...wait, ...listeners }))),
    ),
  )('F91 is that of its caller when $when, and $who: $how', async ({ culprit, before, channels }) => {
    const listener = (): void => undefined;
    for (const { start } of channels) start.subscribe(listener);
    onTestFinished(() => {
      for (const { start } of channels) start.unsubscribe(listener);
    });
    const fake = fakePool({}, { poolSize: 1, leakWarningMs: 100, acquireTimeoutMs: 1000 });
    const { pool, clock } = fake;
    const warn = vi.spyOn(process, 'emitWarning').mockReturnValue();
    const end = await before(fake);
    void culprit(pool);
    await clock.settle();
    await end?.();
    await clock.settle();
    expect(pool.stats().leased).toBe(1);
    const late = follow(pool.acquire());
    await clock.advance(1000);
    const own: unknown = expect.stringMatching(/^ +at (?:\S*\.)?culprit \(.*callers\.test/m);
    expect(errorOf(late)).toMatchObject({ code: 'ACQUIRE_TIMEOUT', holders: [own] });
    // A lease of an earlier test may be collected as garbage meanwhile.
    const warnings = warn.mock.calls.map(([message]) => message);
    expect(warnings.filter((message) => String(message).includes('is older than'))).toEqual([own]);
  });

  it('F91 is not recorded without leakWarningMs', async () => {
    const { pool, clock } = fakePool({}, { poolSize: 1, acquireTimeoutMs: 1000 });
    await pool.acquire();
    const late = follow(pool.acquire());
    await clock.advance(1000);
    expect(errorOf(late)).toMatchObject({ holders: [] });
  });
});
