import { describe, expect, it, onTestFinished } from 'vitest';
import { createInspector } from '../src/index.ts';
import type { PoolState, State } from '../src/state.ts';
import { FakePool, type QueryFields } from './fake-pool.ts';

/** A pool, its inspector, and a clock that the test moves. */
function start(): {
  readonly pool: FakePool;
  readonly clock: { now: number };
  readonly body: (query?: string) => Promise<string>;
  readonly state: (query?: string) => Promise<PoolState>;
} {
  const pool = new FakePool();
  const clock = { now: 1_000_000_000_000 };
  const inspector = createInspector({ pool, now: () => clock.now });
  onTestFinished(() => inspector.close());
  const body = async (query = ''): Promise<string> => {
    const response = await inspector.handle({ method: 'GET', path: `/state.json?${query}`, headers: {} });
    return response.body;
  };
  return { pool, clock, body, state: async (query) => (JSON.parse(await body(query)) as State).pool };
}

/** The inspector keeps durations in buckets. */
function about(ms: number): unknown {
  return expect.closeTo(ms, 1);
}

describe('the seconds', () => {
  it('have calls, errors and percentiles, and none is missing', async () => {
    const { pool, clock, state } = start();
    for (let ms = 1; ms <= 100; ms += 1) pool.query({ durationMs: ms });
    pool.query({ durationMs: 50, error: new Error(), errorCode: 'SQLITE_BUSY' });
    clock.now += 2000;
    pool.query({ durationMs: 7 });
    clock.now += 1000;
    const { seconds } = await state();
    expect(seconds.map(([at, calls, errors]) => [at - 1_000_000_000, calls, errors])).toEqual([
      [0, 101, 1],
      [1, 0, 0],
      [2, 1, 0],
      [3, 0, 0],
    ]);
    const [, , , p50 = 0, p95 = 0] = seconds[0] ?? [];
    expect(Math.abs(p50 - 50) / 50).toBeLessThan(0.1);
    expect(Math.abs(p95 - 95) / 95).toBeLessThan(0.1);
  });

  it('are sent once, the last one again', async () => {
    const { clock, state } = start();
    clock.now += 10_000;
    const { seconds } = await state();
    clock.now += 1000;
    const next = await state(`after=${String(seconds.at(-2)![0])}`);
    expect(next.seconds.map(([at]) => at)).toEqual([1_000_000_010, 1_000_000_011]);
  });

  it('go back five minutes, whatever happens', async () => {
    const { pool, clock, state } = start();
    for (let second = 0; second < 400; second += 1) {
      pool.query();
      clock.now += 1000;
    }
    const { seconds } = await state();
    expect(seconds).toHaveLength(300);
    expect(seconds.reduce((sum, [, calls]) => sum + calls, 0)).toBe(299);
  });

  it('take calls of a clock that goes back', async () => {
    const { pool, clock, state } = start();
    clock.now += 5000;
    pool.query();
    clock.now -= 3000;
    pool.query();
    clock.now += 4000;
    const { seconds } = await state();
    expect(seconds.reduce((sum, [, calls]) => sum + calls, 0)).toBe(2);
  });

  it('leave the time of a loop over a cursor out of the latency', async () => {
    const { pool, clock, state } = start();
    pool.query({ method: 'iterate', durationMs: 60_000 });
    pool.query({ durationMs: 1 });
    clock.now += 1000;
    const { lastMinute } = await state();
    expect(lastMinute).toMatchObject({ calls: 2, p95Ms: about(1), seconds: 1 });
  });

  it('make up the last minute', async () => {
    const { pool, clock, state } = start();
    pool.query({ busyRetries: 3, durationMs: 500 });
    clock.now += 60_000;
    pool.query({ durationMs: 2 });
    expect((await state()).lastMinute).toEqual({
      calls: 1,
      errors: 0,
      busyRetries: 3,
      p50Ms: 500,
      p95Ms: 500,
      seconds: 60,
    });
    clock.now += 1000;
    expect((await state()).lastMinute).toMatchObject({ calls: 1, busyRetries: 0, p95Ms: about(2) });
  });
});

describe('the statements', () => {
  it('are grouped by their text', async () => {
    const { pool, state } = start();
    for (const durationMs of [1, 1, 1, 9])
      pool.query({ sql: 'SELECT * FROM users', durationMs, waitMs: 0.5 });
    pool.query({ sql: 'DELETE FROM users', kind: 'write', durationMs: 2, error: new Error(), lockMs: 1 });
    const { total, shown } = (await state()).statements;
    expect(total).toBe(2);
    expect(shown).toMatchObject([
      {
        sql: 'SELECT * FROM users',
        summary: 'SELECT users',
        count: 4,
        errors: 0,
        maxMs: 9,
        totalMs: 12,
        waitMs: 2,
        p50Ms: about(1),
      },
      { sql: 'DELETE FROM users', kind: 'write', count: 1, errors: 1, maxMs: 2, waitMs: 1 },
    ]);
  });

  it.each(['total', 'count', 'p50', 'p95', 'max', 'errors'])('are sorted by %s', async (order) => {
    const { pool, state } = start();
    const most: Record<string, QueryFields[]> = {
      total: Array<QueryFields>(20).fill({ durationMs: 50 }),
      count: Array<QueryFields>(200).fill({ durationMs: 0.1 }),
      p50: Array<QueryFields>(2).fill({ durationMs: 90 }),
      p95: [...Array<QueryFields>(3).fill({ durationMs: 1 }), { durationMs: 120 }],
      max: [...Array<QueryFields>(40).fill({ durationMs: 1 }), { durationMs: 300 }],
      errors: Array<QueryFields>(3).fill({ error: new Error() }),
    };
    for (const [sql, calls] of Object.entries(most))
      for (const fields of calls) pool.query({ ...fields, sql });
    const { shown } = (await state(`order=${order}`)).statements;
    expect(shown[0]?.sql).toBe(order);
    expect(shown).toHaveLength(6);
  });

  it('are the 500 that were used last, and the page gets 50 of them', async () => {
    const { pool, state } = start();
    pool.query({ sql: 'often' });
    for (let text = 0; text < 2000; text += 1) {
      pool.query({ sql: `SELECT ${String(text)}` });
      if (text % 100 === 0) pool.query({ sql: 'often' });
    }
    const { total, shown } = (await state('order=count')).statements;
    expect(total).toBe(500);
    expect(shown).toHaveLength(50);
    expect(shown[0]).toMatchObject({ sql: 'often', count: 21 });
  });

  it('keep only the beginning of a long text', async () => {
    const { pool, state } = start();
    for (const end of ['a', 'b']) pool.query({ sql: `SELECT '${'x'.repeat(100_000)}${end}'` });
    const [statement] = (await state()).statements.shown;
    expect(statement).toMatchObject({ count: 2 });
    expect(statement?.sql).toHaveLength(10_001);
  });
});

describe('the waiters', () => {
  it('are shown by their age, with what they wait for', async () => {
    const { pool, clock, state } = start();
    pool.begin({ sql: 'SELECT 1', phase: 'running' });
    pool.begin({ sql: 'SELECT 2', phase: 'waiting', request: { id: 'a', route: 'GET /2' } });
    clock.now += 10;
    const acquired = pool.acquire({ id: undefined, route: 'GET /lease' });
    clock.now += 10;
    const end = pool.begin({ sql: 'UPDATE x', kind: 'write', method: 'run', phase: 'locking' });
    clock.now += 5;
    expect((await state()).waiters).toEqual({
      total: 3,
      shown: [
        {
          for: 'a connection',
          what: 'all',
          sql: 'SELECT 2',
          origin: { id: 'a', route: 'GET /2' },
          ageMs: 25,
        },
        {
          for: 'a connection',
          what: 'lease',
          sql: null,
          origin: { id: null, route: 'GET /lease' },
          ageMs: 15,
        },
        { for: 'the write lock', what: 'run', sql: 'UPDATE x', origin: null, ageMs: 5 },
      ],
    });
    acquired();
    end();
    expect((await state()).waiters.total).toBe(1);
  });

  it('are one, if a statement waits for the lease of its own request', async () => {
    const { pool, state } = start();
    pool.begin({ phase: 'waiting', request: { id: 'a', route: 'GET /' } });
    pool.acquire({ id: 'a', route: 'GET /' });
    pool.acquire({ id: 'b', route: 'GET /' });
    const { total, shown } = (await state()).waiters;
    expect(total).toBe(2);
    expect(shown.map(({ what, origin }) => [what, origin?.id])).toEqual([
      ['all', 'a'],
      ['lease', 'b'],
    ]);
  });

  it('are counted, however many they are', async () => {
    const { pool, clock, state } = start();
    for (let caller = 0; caller < 1000; caller += 1) {
      pool.begin({ phase: 'waiting' });
      clock.now += 1;
    }
    const { total, shown } = (await state()).waiters;
    expect(total).toBe(1000);
    expect(shown).toHaveLength(20);
    expect(shown[0]?.ageMs).toBe(1000);
  });
});

describe('the sizes of groups', () => {
  it('count single writes and their COMMITs', async () => {
    const { pool, state } = start();
    for (let write = 0; write < 6; write += 1) pool.query({ kind: 'write', method: 'run', groupSize: 6 });
    pool.query({ kind: 'write', method: 'run' });
    pool.query({ kind: 'write', method: 'run', inTransaction: true });
    pool.query({ kind: 'write', method: 'run', error: new Error() });
    pool.query({ kind: 'read' });
    const { sizes, writes, commits } = (await state()).groups;
    expect({ writes, commits }).toEqual({ writes: 7, commits: 2 });
    expect(sizes.filter((size) => size.writes > 0)).toEqual([
      { from: 1, to: 1, writes: 1 },
      { from: 5, to: 8, writes: 6 },
    ]);
  });
});

describe('what the inspector hears', () => {
  it('is of its own pool only', async () => {
    const { state } = start();
    new FakePool().query();
    expect((await state()).statements.total).toBe(0);
  });

  it('leaves the message of an error out, because it may quote a value', async () => {
    const { pool, body } = start();
    pool.query({ error: new Error('secret'), errorCode: 'SQLITE_CONSTRAINT' });
    pool.acquire()('ACQUIRE_TIMEOUT');
    expect(await body()).toContain('A wait for a connection failed: ACQUIRE_TIMEOUT');
    expect(await body()).not.toContain('secret');
  });

  it('becomes at most 40 events, the newest first', async () => {
    const { pool, state } = start();
    for (let event = 0; event < 300; event += 1) pool.evict(`reason ${String(event)}`);
    const { events } = await state();
    expect(events).toHaveLength(40);
    expect(events[0]).toMatchObject({ id: 300, kind: 'evict', text: 'Evicted a connection (reason 299)' });
  });

  it('becomes one event with a count, if it happens again', async () => {
    const { pool, clock, state } = start();
    pool.evict('dirty');
    for (let times = 0; times < 100; times += 1)
      pool.acquire({ id: String(times), route: 'GET /a' })('ACQUIRE_TIMEOUT');
    pool.acquire({ id: 'b', route: 'GET /b' })('POOL_CLOSED');
    clock.now += 1000;
    pool.evict('dirty');
    expect((await state()).events).toMatchObject([
      { id: 1, times: 2, at: clock.now, text: 'Evicted a connection (dirty)' },
      { times: 1, origin: { route: 'GET /b' } },
      {
        times: 100,
        origin: { id: '99', route: 'GET /a' },
        text: 'A wait for a connection failed: ACQUIRE_TIMEOUT',
      },
    ]);
  });

  it('is JSON also where the pool has no limit', async () => {
    const { state } = start();
    expect((await state()).limits).toMatchObject({ statementTimeoutMs: null, poolSize: 10 });
  });
});
