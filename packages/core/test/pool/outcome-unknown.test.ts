import { describe, expect, it } from 'vitest';
import {
  LeaseEndedError,
  OperationTimeoutError,
  OutcomeUnknownError,
  PoolClosedError,
  StatementTimeoutError,
  type Lease,
  type Queryable,
  type SqlitePool,
} from '../../src/index.ts';
import type { FakeCall, FakeMethod, FakeOutcome } from '../../src/testing/index.ts';
import { errorOf, fakePool, follow, type FakePool, type Outcome } from './support.ts';

const WRITE = 'INSERT INTO t VALUES (1)';
const OPTIONS = { operationTimeoutMs: 500, closeTimeoutMs: 1000, groupCommit: false };
/** In milliseconds: after that, nobody waits any more for what an interrupt does to a write. */
const GRACE = 50;

/** A driver on which one call ends in its own way: the first statement of a text, or the first call of a method. */
function scripted(what: string, outcome: FakeOutcome): FakePool {
  let done = false;
  return fakePool(({ method, sql }: FakeCall) => {
    if (done || (sql !== what && method !== (what as FakeMethod))) return undefined;
    done = true;
    return outcome;
  }, OPTIONS);
}

function expectUnknown(call: { now: Outcome<unknown> }, cause: unknown): void {
  const error = errorOf(call);
  expect(error).toBeInstanceOf(OutcomeUnknownError);
  expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  expect(error).not.toHaveProperty('statusCode');
  expect(error).not.toHaveProperty('headers');
  const { cause: given } = error as Error;
  if (typeof cause === 'function') expect(given).toBeInstanceOf(cause);
  else expect(given).toBe(cause);
}

const aborted = new Error('The user has had enough.');

/** What can come between a write and its answer, and what it then would be rejected with. */
const CANCELS: readonly {
  readonly what: string;
  readonly cause: unknown;
  readonly write: (db: Queryable, signal: AbortSignal) => Promise<unknown>;
  readonly cancelled: (pool: FakePool, lease: Lease, controller: AbortController) => Promise<void>;
}[] = [
  {
    what: 'its timeoutMs',
    cause: StatementTimeoutError,
    write: (db) => db.run(WRITE, [], { timeoutMs: 100 }),
    cancelled: ({ clock }) => clock.advance(100),
  },
  {
    what: 'its signal',
    cause: aborted,
    write: (db, signal) => db.run(WRITE, [], { signal }),
    cancelled: ({ clock }, _lease, controller) => {
      controller.abort(aborted);
      return clock.settle();
    },
  },
  {
    what: 'a revoke of its lease',
    cause: aborted,
    write: (db) => db.run(WRITE),
    cancelled: ({ clock }, lease) => {
      void lease.revoke(aborted);
      return clock.settle();
    },
  },
  {
    what: 'a discard of its lease',
    cause: LeaseEndedError,
    write: (db) => db.run(WRITE),
    cancelled: ({ clock }, lease) => {
      void lease.discard();
      return clock.settle();
    },
  },
  {
    what: 'the close of the pool',
    cause: PoolClosedError,
    write: (db) => db.run(WRITE),
    cancelled: ({ clock, pool }) => {
      void pool.close();
      return clock.advance(OPTIONS.closeTimeoutMs);
    },
  },
];

describe.for(CANCELS)('a write on a lease that is cancelled by $what', ({ cause, write, cancelled }) => {
  async function begun(outcome: FakeOutcome) {
    const fake = scripted(WRITE, outcome);
    const lease = await fake.pool.acquire();
    const controller = new AbortController();
    const call = follow(write(lease, controller.signal));
    await fake.clock.settle();
    await cancelled(fake, lease, controller);
    return { ...fake, lease, call };
  }

  it('F90 while it runs, and does not return, has an unknown outcome', async () => {
    const { call, clock } = await begun('hang');
    await clock.advance(GRACE - 1);
    expect(call.now.state).toBe('pending');
    await clock.advance(1);
    expectUnknown(call, cause);
  });

  it('F90 while it runs, and is interrupted, was not done: it is rejected for what has cancelled it', async () => {
    const { call, clock } = await begun('interruptible');
    await clock.settle();
    const error = errorOf(call);
    if (typeof cause === 'function') expect(error).toBeInstanceOf(cause);
    else expect(error).toBe(cause);
  });

  it('F90 too late, and returns all the same, was done: it resolves', async () => {
    const { call, clock, driver } = await begun('hang');
    await clock.advance(GRACE - 1);
    driver.call('execute').resolve({ rows: [], columns: [], changes: 1, lastInsertRowid: 7 });
    await clock.settle();
    expect(call.now).toMatchObject({ state: 'resolved', value: { changes: 1, lastInsertRowid: 7 } });
  });

  it('F90 while it runs, and fails with an error that says nothing, has an unknown outcome', async () => {
    const { call, clock, driver } = await begun('hang');
    driver.call('execute').reject(new Error('The worker is gone.'));
    await clock.settle();
    expectUnknown(call, cause);
  });
});

describe('what is cancelled', () => {
  it('F90 before it has begun was not done, and is rejected for what has cancelled it', async () => {
    const { pool, clock, driver } = scripted(WRITE, 'hang');
    const first = follow(pool.run(WRITE));
    await clock.settle();
    const second = follow(pool.run('DELETE FROM t', [], { timeoutMs: 100 }));
    const third = follow(pool.run('DELETE FROM t', [], { signal: AbortSignal.abort(aborted) }));
    await clock.advance(100);
    expect(errorOf(second)).toBeInstanceOf(StatementTimeoutError);
    expect(errorOf(third)).toBe(aborted);
    driver.call('execute').resolve();
    await clock.settle();
    expect(first.now.state).toBe('resolved');
    await pool.close();
  });

  it.for<{ what: string; call: (pool: SqlitePool) => Promise<unknown> }>([
    { what: 'a query', call: (pool) => pool.get('SELECT slow', [], { timeoutMs: 100 }) },
    {
      what: 'a write in a transaction',
      call: (pool) => pool.transaction((tx) => tx.run('INSERT slow', [], { timeoutMs: 100 })),
    },
    {
      what: 'the BEGIN of a transaction',
      call: (pool) => pool.transaction(() => 1, { timeoutMs: 100, mode: 'deferred' }),
    },
    {
      what: 'a checkpoint, of which nothing can be lost',
      call: (pool) => pool.checkpoint({ mode: 'truncate', timeoutMs: 100 }),
    },
  ])('F90 and is $what has no outcome that could be unknown', async ({ call }) => {
    const { pool, clock } = fakePool(
      ({ sql }) => (/slow|^BEGIN$|checkpoint/.test(sql) ? 'hang' : undefined),
      OPTIONS,
    );
    const cancelled = follow(call(pool));
    await clock.advance(100 + GRACE);
    expect(errorOf(cancelled)).toBeInstanceOf(StatementTimeoutError);
  });

  it('F90 as a script may be done in part, even if it was interrupted', async () => {
    const scripts = [`${WRITE}; DELETE FROM t`, `BEGIN; ${WRITE}; COMMIT; BEGIN; DELETE FROM t; COMMIT`];
    for (const [script, outcome] of scripts.flatMap((one) => [
      [one, 'interruptible'] as const,
      [one, 'hang'] as const,
    ])) {
      const { pool, clock } = scripted('script', outcome);
      const cancelled = follow(pool.script(script, { timeoutMs: 100 }));
      await clock.advance(100);
      expectUnknown(cancelled, StatementTimeoutError);
      const late = follow(pool.script(script, { signal: AbortSignal.abort(aborted) }));
      await clock.settle();
      expect(errorOf(late)).toBe(aborted);
    }
  });

  it('F90 as a script that is one transaction, and is interrupted, was not done', async () => {
    for (const script of [`BEGIN; ${WRITE}; SAVEPOINT s; DELETE FROM t; RELEASE s; END`, WRITE]) {
      const { pool, clock } = scripted('script', 'interruptible');
      const cancelled = follow(pool.script(script, { timeoutMs: 100 }));
      await clock.advance(100);
      expect(errorOf(cancelled)).toBeInstanceOf(StatementTimeoutError);
    }
  });

  it('F90 as a script that only reads, or is part of a transaction, has no outcome that could be unknown', async () => {
    const { pool, clock } = scripted('script', 'hang');
    const reads = follow(pool.script('SELECT 1; SELECT 2', { timeoutMs: 100 }));
    await clock.advance(100);
    expect(errorOf(reads)).toBeInstanceOf(StatementTimeoutError);
    const other = scripted('script', 'interruptible');
    const inside = follow(other.pool.transaction((tx) => tx.script(WRITE, { timeoutMs: 100 })));
    await other.clock.advance(100);
    expect(errorOf(inside)).toBeInstanceOf(StatementTimeoutError);
  });
});

describe('a COMMIT', () => {
  const transaction = (pool: SqlitePool) => pool.transaction((tx) => tx.run(WRITE));

  it('F90 of a transaction that takes longer than operationTimeoutMs has an unknown outcome', async () => {
    const { pool, clock } = scripted('COMMIT', 'hang');
    const cancelled = follow(transaction(pool));
    await clock.advance(OPTIONS.operationTimeoutMs + GRACE);
    expectUnknown(cancelled, OperationTimeoutError);
  });

  it.for([WRITE, 'COMMIT'])('F90 of a batch whose %s does not return has an unknown outcome', async (sql) => {
    const { pool, clock } = scripted(sql, 'hang');
    const cancelled = follow(pool.batch([WRITE, WRITE], { timeoutMs: 100 }));
    await clock.advance(100 + GRACE);
    expectUnknown(cancelled, StatementTimeoutError);
  });

  it('F90 under way when close() gives up has an unknown outcome', async () => {
    const { pool, clock } = fakePool(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined), {
      ...OPTIONS,
      operationTimeoutMs: 60_000,
    });
    const cancelled = follow(transaction(pool));
    await clock.settle();
    const closed = follow(pool.close());
    await clock.advance(OPTIONS.closeTimeoutMs + GRACE);
    expectUnknown(cancelled, PoolClosedError);
    await clock.advance(100);
    expect(closed.now.state).toBe('resolved');
  });

  it('F90 that was interrupted was not made, and one that was made in the end was', async () => {
    for (const outcome of ['interruptible', 'hang'] as const) {
      const { pool, clock, driver } = scripted('COMMIT', outcome);
      const cancelled = follow(transaction(pool));
      await clock.advance(OPTIONS.operationTimeoutMs);
      if (outcome === 'hang') driver.call('execute', 3).resolve();
      await clock.settle();
      if (outcome === 'hang') expect(cancelled.now.state).toBe('resolved');
      else expect(errorOf(cancelled)).toBeInstanceOf(OperationTimeoutError);
      expect(driver.count('rollback')).toBe(outcome === 'hang' ? 0 : 1);
      expect(pool.stats().writerHeld).toBe(false);
      await pool.close();
    }
  });

  it('F90 of a transaction that has written nothing has no outcome that could be unknown', async () => {
    const { pool, clock } = scripted('COMMIT', 'hang');
    const cancelled = follow(pool.transaction((tx) => tx.get('SELECT 1'), { mode: 'deferred' }));
    await clock.advance(3 * OPTIONS.operationTimeoutMs);
    expect(errorOf(cancelled)).toBeInstanceOf(OperationTimeoutError);
  });

  it.for([
    ['BEGIN IMMEDIATE', 'COMMIT'],
    ['SAVEPOINT mine', 'RELEASE mine'],
  ] as const)('F90 by hand, %s … %s, has an unknown outcome', async ([begin, commit]) => {
    const { pool, clock } = scripted(commit, 'hang');
    const lease = await pool.acquire();
    await lease.execute(begin);
    await lease.run(WRITE);
    const cancelled = follow(lease.execute(commit, [], { timeoutMs: 100 }));
    await clock.advance(100 + GRACE);
    expectUnknown(cancelled, StatementTimeoutError);
  });

  it('F90 by a RELEASE, or in a script, after which it cannot be found out where the connection stands', async () => {
    for (const commit of ['RELEASE mine', `BEGIN; ${WRITE}; COMMIT`]) {
      const { pool, clock } = scripted('inTransaction', 'hang');
      const lease = await pool.acquire();
      if (commit.startsWith('RELEASE')) {
        await lease.execute('SAVEPOINT mine');
        await lease.run(WRITE);
      }
      const cancelled = follow<unknown>(
        commit.startsWith('RELEASE') ? lease.execute(commit) : lease.script(commit),
      );
      await clock.advance(OPTIONS.operationTimeoutMs);
      expectUnknown(cancelled, OperationTimeoutError);
    }
  });

  it('F90 that fails with an error that says nothing has an unknown outcome, and its connection no transaction', async () => {
    const { pool, clock, driver } = scripted('COMMIT', { reject: new Error('The server has gone away.') });
    const cancelled = follow(transaction(pool));
    await clock.settle();
    expectUnknown(cancelled, Error);
    expect((errorOf(cancelled) as Error).cause).toMatchObject({ sqliteCode: 'UNKNOWN' });
    await clock.settle();
    expect([driver.openTransactions, pool.stats().writerHeld]).toEqual([0, false]);
  });
});

describe('an answer that says nothing', () => {
  const NOTHING: readonly FakeOutcome[] = [
    { reject: new Error('no code') },
    { throw: 'no error' },
    { resolve: 'done' },
    { resolve: { rows: 'many' } },
  ];

  it.for(NOTHING)('F90 to a write makes its outcome unknown: %j', async (outcome) => {
    const { pool, clock } = scripted(WRITE, outcome);
    const call = follow(pool.run(WRITE));
    await clock.settle();
    expectUnknown(call, Error);
    expect((errorOf(call) as Error).cause).toMatchObject({ code: 'SQLITE_ERROR', sqliteCode: 'UNKNOWN' });
  });

  it.for(NOTHING)(
    'F90 to a query, or inside a transaction, is an error of the driver: %j',
    async (outcome) => {
      const query = scripted('SELECT 1', outcome);
      const get = follow(query.pool.all('SELECT 1'));
      const write = scripted(WRITE, outcome);
      const inside = follow(write.pool.transaction((tx) => tx.run(WRITE)));
      await query.clock.settle();
      await write.clock.settle();
      for (const call of [get, inside]) expect(errorOf(call)).toMatchObject({ sqliteCode: 'UNKNOWN' });
    },
  );

  it('F90 to a script that writes makes its outcome unknown', async () => {
    const { pool, clock } = scripted('script', { reject: new Error('no code') });
    const call = follow(pool.script(WRITE));
    await clock.settle();
    expectUnknown(call, Error);
  });

  it('F90 with a result code is an answer: nothing was done', async () => {
    const { pool, clock } = scripted(WRITE, { reject: Object.assign(new Error('full'), { errno: 13 }) });
    const call = follow(pool.run(WRITE));
    await clock.settle();
    expect(errorOf(call)).toMatchObject({ code: 'SQLITE_ERROR', sqliteCode: 'SQLITE_FULL' });
  });
});

describe('a write that shares a COMMIT', () => {
  it('F90 and is cancelled while its group does not return, has an unknown outcome', async () => {
    const texts = [1, 2, 3].map((n) => `INSERT INTO t SELECT ${String(n)}`);
    let tries = 0;
    const { pool, clock, driver } = fakePool(
      ({ sql }) => (sql === texts[1] && (tries += 1) === 1 ? 'hang' : undefined),
      { operationTimeoutMs: 500 },
    );
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const controllers = texts.map(() => new AbortController());
    const writes = texts.map((sql, at) => follow(pool.run(sql, [], { signal: controllers[at]?.signal })));
    await lease.run('COMMIT');
    await clock.settle();
    expect(driver.calls.at(-1)?.sql).toBe(texts[1]);
    for (const controller of [controllers[0]!, controllers[2]!]) controller.abort(aborted);
    await clock.advance(GRACE);
    for (const write of [writes[0]!, writes[2]!]) expectUnknown(write, aborted);
    expect(writes[1]?.now.state).toBe('pending');
    driver.calls.find(({ sql }) => sql === texts[1])?.resolve();
    await clock.settle();
    expect(writes[1]?.now.state).toBe('resolved');
    await lease.release();
    await pool.close();
  });
});
