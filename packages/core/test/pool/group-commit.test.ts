import { describe, expect, it } from 'vitest';
import type { Lease, PoolOptions } from '../../src/index.ts';
import type { FakeCall, FakeOutcome } from '../../src/testing/index.ts';
import { errorOf, fakePool, follow, type FakePool } from './support.ts';

const BUSY = { reject: Object.assign(new Error('busy'), { errno: 5 }) };
const IOERR = { reject: Object.assign(new Error('disk'), { errno: 10 }) };
const FK = { reject: Object.assign(new Error('fk'), { errno: 787 }) };
const INTERRUPT_MS = 10;

const insert = (n: number): string => `INSERT INTO t VALUES (${String(n)})`;

interface Grouped extends FakePool {
  /** Holds the write lock. */
  readonly writer: Lease;
  /** Ends that, and lets happen what needs no time. */
  readonly go: () => Promise<void>;
  readonly write: (
    n: number,
    options?: { signal?: AbortSignal; timeoutMs?: number },
  ) => ReturnType<typeof follow>;
  /** The statements since the group has the write lock. */
  readonly texts: () => string[];
}

/** Someone writes, so that the next call waits, with others. */
async function grouped(
  script: (call: FakeCall) => FakeOutcome | undefined = () => undefined,
  options: Omit<PoolOptions, 'driver' | 'clock'> = {},
): Promise<Grouped> {
  let held = true;
  const fake = fakePool((call) => (held ? undefined : script(call)), { operationTimeoutMs: 500, ...options });
  const { pool, driver, clock } = fake;
  // A second connection is there already, so that none has to be opened for the group.
  const spare = (options.poolSize ?? 10) > 1 ? await pool.acquire() : undefined;
  const writer = await pool.acquire();
  await spare?.release();
  await writer.run('BEGIN IMMEDIATE');
  let from = 0;
  return {
    ...fake,
    writer,
    go: async () => {
      held = false;
      from = driver.calls.length;
      await writer.release();
      await clock.settle();
    },
    write: (n, options) => follow(pool.run(insert(n), [], options)),
    texts: () => driver.calls.slice(from).flatMap(({ method, sql }) => (method === 'execute' ? [sql] : [])),
  };
}

/** Nothing is left of a group, and the next write is done. */
async function expectGood({ pool, driver, clock }: FakePool, opens = 2): Promise<void> {
  await clock.settle();
  const next = follow(pool.run('DELETE FROM t'));
  await clock.advance(INTERRUPT_MS);
  expect(next.now.state).toBe('resolved');
  expect(pool.stats()).toMatchObject({ leased: 0, writerHeld: false, writersWaiting: 0, opens });
  expect([driver.violations, driver.openTransactions, clock.pendingForeground]).toEqual([[], 0, 0]);
}

const states = (writes: readonly ReturnType<typeof follow>[]): string[] => writes.map(({ now }) => now.state);

it('writes that wait are one transaction, and resolve after its COMMIT', async () => {
  const group = await grouped(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined));
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.clock.settle();
  expect(group.pool.stats()).toMatchObject({ writersWaiting: 3 });
  await group.go();
  expect(group.texts()).toEqual([
    'BEGIN IMMEDIATE',
    expect.stringContaining('schema_version'),
    expect.stringContaining('DEFERRED'),
    ...[1, 2, 3].map(insert),
    'COMMIT',
  ]);
  expect(states(writes)).toEqual(['pending', 'pending', 'pending']);
  group.driver.calls.find(({ sql }) => sql === 'COMMIT')?.resolve();
  await group.clock.settle();
  expect(states(writes)).toEqual(['resolved', 'resolved', 'resolved']);
  await expectGood(group);
});

it('a BEGIN that fails fails everyone, each with an error of its own, and nothing is kept', async () => {
  const group = await grouped(({ sql }) => (sql === 'BEGIN IMMEDIATE' ? IOERR : undefined));
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  const errors = writes.map(errorOf);
  for (const error of errors) expect(error).toMatchObject({ sqliteCode: 'SQLITE_IOERR' });
  expect(new Set(errors).size).toBe(3);
  expect(group.texts()).not.toContain(insert(1));
  await expectGood(group);
});

it.for([
  { why: 'because of a constraint', end: FK },
  { why: 'because of the disk', end: IOERR },
])('F32 after a COMMIT that fails $why each runs alone', async ({ end }) => {
  let tries = 0;
  const group = await grouped(({ sql }) => {
    if (sql === 'COMMIT') return end;
    return sql === insert(2) && (tries += 1) === 2 ? FK : undefined;
  });
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  expect(states(writes)).toEqual(['resolved', 'rejected', 'resolved']);
  expect(group.texts().slice(-3)).toEqual([1, 2, 3].map(insert));
  await expectGood(group);
});

it('F43 a COMMIT that does not return rejects everyone operationTimeoutMs after its interrupt, and the pool goes on', async () => {
  const group = await grouped(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined));
  const writes = [1, 2].map((n) => group.write(n));
  await group.go();
  await group.clock.advance(1000 + 50 + 499);
  expect(states(writes)).toEqual(['pending', 'pending']);
  await group.clock.advance(1);
  for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  const next = follow(group.pool.run(insert(3)));
  await group.clock.advance(2000);
  expect(next.now.state).toBe('resolved');
  expect(group.pool.stats()).toMatchObject({ quarantined: 1, writerHeld: false });
});

it('F43 a statement that does not return leaves nobody waiting for ever', async () => {
  const group = await grouped(({ sql }) => (sql === insert(2) ? 'hang' : undefined));
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  await group.clock.advance(1000 + 50 + 499);
  expect(states(writes)).toEqual(['pending', 'pending', 'pending']);
  await group.clock.advance(1);
  for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  const next = follow(group.pool.run(insert(4)));
  await group.clock.advance(2000);
  expect(next.now.state).toBe('resolved');
  expect(group.driver.calls.some(({ sql }) => sql === 'COMMIT')).toBe(false);
});

it('a statement that takes long is interrupted, and then everyone is run alone, in order', async () => {
  let tries = 0;
  const group = await grouped(({ sql }) =>
    sql === insert(2) && (tries += 1) === 1 ? 'interruptible' : undefined,
  );
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  expect(states(writes)).toEqual(['pending', 'pending', 'pending']);
  await group.clock.advance(1000);
  expect(states(writes)).toEqual(['resolved', 'resolved', 'resolved']);
  expect(group.texts().slice(-3)).toEqual([1, 2, 3].map(insert));
  await expectGood(group);
});

it('behind one that takes for ever alone, nobody waits for longer than acquireTimeoutMs', async () => {
  const group = await grouped(({ sql }) => (sql === insert(1) ? 'interruptible' : undefined), {
    acquireTimeoutMs: 300,
  });
  const writes = [1, 2].map((n) => group.write(n));
  await group.go();
  await group.clock.advance(1299);
  expect(states(writes)).toEqual(['pending', 'pending']);
  await group.clock.advance(1);
  expect(states(writes)).toEqual(['pending', 'rejected']);
  expect(errorOf(writes[1]!)).toMatchObject({ code: 'ACQUIRE_TIMEOUT', phase: 'write' });
  const closing = group.pool.close();
  await group.clock.advance(11_000);
  await closing;
  expect(errorOf(writes[0]!)).toMatchObject({ code: 'POOL_CLOSED' });
});

it('when some are run alone, acquireTimeouts counts only the ones whose time is up', async () => {
  const group = await grouped(
    ({ sql }) => (sql === insert(2) ? 'interruptible' : sql === 'COMMIT' ? FK : undefined),
    { acquireTimeoutMs: 300 },
  );
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  await group.clock.advance(1000 + 300);
  expect(states(writes)).toEqual(['resolved', 'pending', 'rejected']);
  expect(group.pool.stats()).toMatchObject({ acquireTimeouts: 1 });
  const closing = group.pool.close();
  await group.clock.advance(11_000);
  await closing;
});

it('when all of it takes long, it is undone, and each is run alone', async () => {
  // It is late while nobody's statement runs: SQLite takes its time to say whether the transaction is still there.
  const group = await grouped(
    ({ sql, method, nth }) =>
      method === 'inTransaction' && nth === 1 ? 'hang' : sql === insert(2) ? FK : undefined,
    { operationTimeoutMs: 5000 },
  );
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  await group.clock.advance(1500);
  group.driver.call('inTransaction').resolve();
  await group.clock.settle();
  expect(states(writes)).toEqual(['resolved', 'rejected', 'resolved']);
  expect(group.texts().slice(-3)).toEqual([1, 2, 3].map(insert));
  expect(group.texts()).not.toContain('COMMIT');
  await expectGood(group);
});

describe('a write of a group that is cancelled', () => {
  /** @param when - `hanging`: after its call has begun, which does not return before 50 ms. */
  const cancelOne = async (group: Grouped, when: 'before' | 'after' | 'hanging') => {
    const controller = new AbortController();
    const first = group.write(1, { signal: controller.signal });
    const others = [2, 3].map((n) => group.write(n));
    await group.clock.settle();
    if (when !== 'before') await group.go();
    controller.abort(new Error('enough'));
    await group.clock.advance(when === 'hanging' ? 50 : 0);
    const error = errorOf(first);
    if (when === 'hanging')
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { message: 'enough' } });
    else expect(error).toMatchObject({ message: 'enough' });
    return others;
  };

  it.for([1, 2, 10])(
    'while it waits is not run, though it was the first; the others are (poolSize %i)',
    async (poolSize) => {
      const group = await grouped(undefined, { poolSize });
      const others = await cancelOne(group, 'before');
      await group.go();
      expect(states(others)).toEqual(['resolved', 'resolved']);
      expect(group.texts()).not.toContain(insert(1));
      await expectGood(group, Math.min(poolSize, 2));
    },
  );

  it('before its statement, with the BEGIN under way, is not run', async () => {
    const group = await grouped(({ sql }) => (sql === 'BEGIN IMMEDIATE' ? 'hang' : undefined));
    const others = await cancelOne(group, 'hanging');
    group.driver.calls.findLast(({ sql }) => sql === 'BEGIN IMMEDIATE')?.resolve();
    await group.clock.settle();
    expect(states(others)).toEqual(['resolved', 'resolved']);
    expect(group.texts()).not.toContain(insert(1));
    await expectGood(group);
  });

  it('during its statement is undone, and the others are run alone', async () => {
    const group = await grouped(({ sql }) => (sql === insert(1) ? 'interruptible' : undefined));
    const others = await cancelOne(group, 'after');
    expect(states(others)).toEqual(['resolved', 'resolved']);
    expect(group.texts().filter((sql) => sql === insert(1))).toHaveLength(1);
    expect(group.texts()).not.toContain('COMMIT');
    await expectGood(group);
  });

  it('during its statement, which no interrupt ends, is undone when it has returned', async () => {
    const group = await grouped(({ sql }) => (sql === insert(1) ? 'hang' : undefined));
    const others = await cancelOne(group, 'hanging');
    expect(states(others)).toEqual(['pending', 'pending']);
    group.driver.calls.find(({ sql }) => sql === insert(1))?.resolve();
    await group.clock.settle();
    expect(states(others)).toEqual(['resolved', 'resolved']);
    expect(group.texts()).not.toContain('COMMIT');
    await expectGood(group);
  });

  it('during the COMMIT rejects soon, and the others end with it', async () => {
    const group = await grouped(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined));
    const others = await cancelOne(group, 'hanging');
    expect(states(others)).toEqual(['pending', 'pending']);
    group.driver.calls.find(({ sql }) => sql === 'COMMIT')?.resolve();
    await group.clock.settle();
    expect(states(others)).toEqual(['resolved', 'resolved']);
    await expectGood(group);
  });

  it('alone, after a group that came to nothing, is not run, or is interrupted', async () => {
    let tries = 0;
    const group = await grouped(({ sql }) => {
      if (sql === 'COMMIT') return FK;
      return sql === insert(1) && (tries += 1) === 2 ? 'interruptible' : undefined;
    });
    const first = group.write(1, { timeoutMs: 700 });
    const controller = new AbortController();
    const second = group.write(2, { signal: controller.signal });
    const third = group.write(3);
    await group.go();
    controller.abort(new Error('enough'));
    await group.clock.advance(700);
    expect(states([first, second, third])).toEqual(['rejected', 'rejected', 'resolved']);
    expect(group.texts().filter((sql) => sql === insert(2))).toHaveLength(1);
    await expectGood(group);
  });

  it('leaves nothing behind when it was the last one', async () => {
    const group = await grouped();
    const writes = [1, 2].map((n) => group.write(n, { timeoutMs: 100 }));
    const early = group.write(3, { signal: AbortSignal.abort(new Error('never')) });
    await group.clock.advance(100);
    for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
    expect(errorOf(early)).toMatchObject({ message: 'never' });
    expect(group.pool.stats()).toMatchObject({ leased: 1, writersWaiting: 0 });
    await group.go();
    expect(group.texts()).toEqual([]);
    await expectGood(group);
  });
});

it.for([1, 10])('each waits for acquireTimeoutMs from when it came (poolSize %i)', async (poolSize) => {
  const group = await grouped(undefined, { poolSize, acquireTimeoutMs: 1000 });
  const first = group.write(1);
  await group.clock.advance(600);
  const second = group.write(2);
  await group.clock.advance(400);
  expect(states([first, second])).toEqual(['rejected', 'pending']);
  expect(errorOf(first)).toMatchObject({ code: 'ACQUIRE_TIMEOUT', phase: 'write' });
  await group.clock.advance(599);
  expect(second.now.state).toBe('pending');
  await group.clock.advance(1);
  expect(errorOf(second)).toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
  expect(group.pool.stats()).toMatchObject({ acquireTimeouts: 2, writersWaiting: 0 });
  await group.go();
  await expectGood(group, Math.min(poolSize, 2));
});

it('the time limit of a statement counts from when the group has its connection, and for a later member from when it joined', async () => {
  const group = await grouped(undefined, { poolSize: 1 });
  const write = group.write(1, { timeoutMs: 100 });
  await group.clock.advance(5000);
  expect(write.now.state).toBe('pending');
  await group.go();
  expect(write.now.state).toBe('resolved');
  const connected = await grouped();
  const first = connected.write(1);
  await connected.clock.advance(1000);
  const second = connected.write(2, { timeoutMs: 100 });
  await connected.clock.advance(100);
  expect(errorOf(second)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  await connected.go();
  expect(first.now.state).toBe('resolved');
});

it('maxWaiting counts the writers in a group, and the writers behind it', async () => {
  const group = await grouped(undefined, { poolSize: 2, maxWaiting: 3 });
  // The first one waits for a connection, with a place among the writers; three more may queue.
  const writes = [1, 2, 3, 4].map((n) => group.write(n));
  expect(group.pool.stats()).toMatchObject({ writersWaiting: 3 });
  const refused = [group.write(5), follow(group.pool.transaction(() => 1))];
  await group.clock.settle();
  for (const write of refused) expect(errorOf(write)).toMatchObject({ code: 'POOL_OVERLOADED' });
  await group.go();
  expect(states(writes)).toEqual(['resolved', 'resolved', 'resolved', 'resolved']);
  await expectGood(group);
});

it('a group has room for 100, and the next ones are another group', async () => {
  const group = await grouped();
  const writes = Array.from({ length: 130 }, (_, n) => group.pool.run(insert(n)));
  await group.go();
  await Promise.all(writes);
  expect(group.texts().filter((sql) => sql === 'COMMIT')).toHaveLength(2);
  expect(group.texts().indexOf('COMMIT')).toBe(103);
});

it('a writer that queued for the file behind a group is not overtaken by later ones', async () => {
  const group = await grouped();
  const lease = await group.pool.acquire();
  const first = [1, 2].map((n) => group.write(n));
  await group.clock.settle();
  const between = follow(lease.run(insert(3)));
  await group.clock.settle();
  const last = [4, 5].map((n) => group.write(n));
  await group.go();
  await group.clock.settle();
  expect(states([...first, between, ...last])).toEqual(Array.from({ length: 5 }, () => 'resolved'));
  expect(group.texts().filter((sql) => sql.startsWith('INSERT'))).toEqual([1, 2, 3, 4, 5].map(insert));
});

it('a writer behind a group does not hear of its write before the last of the group', async () => {
  const group = await grouped();
  const lease = await group.pool.acquire();
  const told: string[] = [];
  const writes = Array.from({ length: 20 }, (_, n) =>
    group.pool.run(insert(n)).then(() => told.push('group')),
  );
  await group.clock.settle();
  const behind = lease.run(insert(20)).then(() => told.push('lease'));
  await group.go();
  await Promise.all([...writes, behind]);
  expect(told).toEqual([...Array.from({ length: 20 }, () => 'group'), 'lease']);
});

it('F11 an open that fails rejects the first of a group, and the others wait for the next open', async () => {
  const { pool, driver, clock } = fakePool({ open: { 2: { reject: new Error('no') } } });
  const writer = await pool.acquire();
  await writer.run('BEGIN IMMEDIATE');
  const writes = [1, 2, 3].map((n) => follow(pool.run(insert(n))));
  await clock.settle();
  expect(errorOf(writes[0]!)).toMatchObject({ code: 'OPEN_FAILED' });
  await writer.release();
  await clock.settle();
  expect(states(writes)).toEqual(['rejected', 'resolved', 'resolved']);
  expect(driver.violations).toEqual([]);
});

it('F35 the lock of another process is waited for, and BusyError is for everyone', async () => {
  const group = await grouped(({ sql }) => (sql === 'BEGIN IMMEDIATE' ? BUSY : undefined), {
    acquireTimeoutMs: 1000,
  });
  const writes = [1, 2].map((n) => group.write(n));
  const cancelled = group.write(3, { timeoutMs: 300 });
  await group.go();
  await group.clock.advance(300);
  expect(errorOf(cancelled)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  await group.clock.advance(699);
  expect(states(writes)).toEqual(['pending', 'pending']);
  await group.clock.advance(1);
  for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'SQLITE_BUSY' });
});

describe('a pool that closes', () => {
  it('refuses the writers that wait without a connection', async () => {
    const group = await grouped(undefined, { poolSize: 1 });
    const writes = [1, 2].map((n) => group.write(n));
    const closing = follow(group.pool.close());
    await group.clock.settle();
    for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'POOL_CLOSED' });
    expect(errorOf(group.write(3))).toBeUndefined();
    await group.go();
    expect(closing.now.state).toBe('resolved');
    expect(group.driver.openConnections).toBe(0);
  });

  it('lets a group go on that has its connection, and revokes it when its time is over', async () => {
    const group = await grouped();
    const writes = [1, 2].map((n) => group.write(n));
    await group.clock.settle();
    const closing = follow(group.pool.close());
    const late = group.write(3);
    await group.clock.settle();
    expect(errorOf(late)).toMatchObject({ code: 'POOL_CLOSED' });
    expect(states(writes)).toEqual(['pending', 'pending']);
    await group.go();
    expect(states(writes)).toEqual(['resolved', 'resolved']);
    expect(closing.now.state).toBe('resolved');
  });

  it.for(['with the write lock', 'before the write lock'])(
    'ends a group %s that is not done in time',
    async (when) => {
      const group = await grouped(({ sql }) => (sql === insert(1) ? 'interruptible' : undefined), {
        closeTimeoutMs: 100,
      });
      const writes = [1, 2].map((n) => group.write(n));
      await group.clock.settle();
      if (when === 'with the write lock') await group.go();
      const closing = follow(group.pool.close());
      await group.clock.advance(200);
      for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'POOL_CLOSED' });
      expect(closing.now.state).toBe('resolved');
      expect([group.driver.openConnections, group.driver.violations]).toEqual([0, []]);
    },
  );
});

it('when SQLite does not say where a transaction stands, it is undone, and each runs alone', async () => {
  const group = await grouped(({ sql, method }) => {
    if (method === 'inTransaction') return { reject: new Error('no answer') };
    return sql === insert(2) ? FK : undefined;
  });
  const writes = [1, 2, 3].map((n) => group.write(n));
  await group.go();
  expect(states(writes)).toEqual(['resolved', 'rejected', 'resolved']);
  expect(group.texts()).not.toContain('COMMIT');
  await expectGood(group);
});

it('when SQLite does not say whether there are deferred constraints, everyone is run alone', async () => {
  const group = await grouped(({ sql }) => (sql.includes('DEFERRED') ? IOERR : undefined));
  const writes = [1, 2].map((n) => group.write(n));
  await group.go();
  expect(states(writes)).toEqual(['resolved', 'resolved']);
  expect(group.texts()).not.toContain('COMMIT');
  await expectGood(group);
});

it('a group that nobody waits for any more gives up its place in the queue', async () => {
  const group = await grouped(undefined, { poolSize: 1 });
  // The one place among the writers is taken.
  const running = follow(group.pool.transaction(() => undefined));
  const controller = new AbortController();
  const write = group.write(1, { signal: controller.signal });
  await group.clock.settle();
  controller.abort(new Error('enough'));
  await group.clock.settle();
  expect(errorOf(write)).toMatchObject({ message: 'enough' });
  expect(group.pool.stats()).toMatchObject({ writersWaiting: 0 });
  await group.go();
  expect(running.now.state).toBe('resolved');
  expect(group.texts()).not.toContain(insert(1));
});

it('without an acquireTimeoutMs a group waits for as long as it takes', async () => {
  const group = await grouped(({ sql }) => (sql === 'COMMIT' ? FK : undefined), {
    acquireTimeoutMs: null,
  });
  const writes = [1, 2].map((n) => group.write(n));
  await group.clock.advance(1_000_000);
  expect(states(writes)).toEqual(['pending', 'pending']);
  await group.go();
  expect(states(writes)).toEqual(['resolved', 'resolved']);
});

it('a pool that closes while each write runs alone refuses the ones that have not run', async () => {
  let tries = 0;
  const group = await grouped(
    ({ sql }) => {
      if (sql === 'COMMIT') return FK;
      return sql === insert(1) && (tries += 1) === 2 ? 'interruptible' : undefined;
    },
    { closeTimeoutMs: 100 },
  );
  const writes = [1, 2].map((n) => group.write(n));
  await group.go();
  const closing = follow(group.pool.close());
  await group.clock.advance(200);
  for (const write of writes) expect(errorOf(write)).toMatchObject({ code: 'POOL_CLOSED' });
  expect(closing.now.state).toBe('resolved');
  expect(group.texts().filter((sql) => sql === insert(2))).toHaveLength(1);
});
