import { expect, it } from 'vitest';
import { errorOf, fakePool, follow } from './support.ts';

const FIRST = 'INSERT INTO t VALUES (1)';
const SECOND = 'INSERT INTO t VALUES (2)';
const IOERR = { reject: Object.assign(new Error('disk'), { errno: 10 }) };

it.for(['BEGIN IMMEDIATE', FIRST, SECOND, 'COMMIT'])(
  'a batch whose %s fails is undone, in the same place of the queue',
  async (failing) => {
    const { pool, driver, clock } = fakePool(({ sql }) => (sql === failing ? IOERR : undefined));
    const lease = await pool.acquire();
    const batch = follow(lease.batch([FIRST, SECOND]));
    const next = follow(lease.run('DELETE FROM t'));
    await clock.settle();
    expect(errorOf(batch)).toMatchObject({ sqliteCode: 'SQLITE_IOERR' });
    expect(next.now.state).toBe('resolved');
    const order = driver.calls.filter(({ method, sql }) => method === 'rollback' || sql === 'DELETE FROM t');
    expect(order.at(-1)).toMatchObject({ sql: 'DELETE FROM t' });
    expect(pool.stats()).toMatchObject({ writerHeld: false });
    await lease.release();
    // It passes a health check after such an error.
    await clock.settle();
    expect([driver.openTransactions, driver.violations, clock.pendingForeground]).toEqual([0, [], 0]);
  },
);

it('a batch that is cancelled and does not return rejects soon, and is undone before anybody else has the connection', async () => {
  const { pool, driver, clock } = fakePool(({ sql }) => (sql === SECOND ? 'hang' : undefined), {
    poolSize: 1,
  });
  const lease = await pool.acquire();
  const batch = follow(lease.batch([FIRST, SECOND], { timeoutMs: 100 }));
  const next = follow(lease.run('DELETE FROM t'));
  await clock.advance(100 + 50);
  expect(errorOf(batch)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  expect(next.now.state).toBe('pending');
  driver.calls.find(({ sql }) => sql === SECOND)?.resolve();
  await clock.settle();
  expect(next.now.state).toBe('resolved');
  expect(driver.count('rollback')).toBe(1);
  await lease.release();
  expect(pool.stats()).toMatchObject({ opens: 1, idle: 1, writerHeld: false });
  expect(driver.violations).toEqual([]);
});

it('F25 a batch that cannot be undone takes its connection with it', async () => {
  const { pool, driver, clock } = fakePool(({ sql, method }) =>
    method === 'rollback' || sql === SECOND ? IOERR : undefined,
  );
  const lease = await pool.acquire();
  const batch = follow(lease.batch([FIRST, SECOND]));
  await clock.settle();
  expect(errorOf(batch)).toMatchObject({ sqliteCode: 'SQLITE_IOERR' });
  await expect(lease.run(FIRST)).rejects.toMatchObject({ code: 'TRANSACTION_LOST' });
  await lease.release();
  await clock.settle();
  expect(pool.stats()).toMatchObject({ size: 0, writerHeld: false });
  expect(driver.openConnections).toBe(0);
});

it('a batch that is interrupted rejects at its limit, and nothing of it is kept', async () => {
  const { pool, driver, clock } = fakePool(({ sql }) => (sql === SECOND ? 'interruptible' : undefined));
  const batch = follow(pool.batch([FIRST, SECOND], { timeoutMs: 100 }));
  await clock.advance(100);
  expect(errorOf(batch)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  expect(driver.calls.map(({ sql }) => sql)).not.toContain('COMMIT');
  expect(driver.openTransactions).toBe(0);
});

it('a batch is stopped between two of its statements where no statement can be interrupted', async () => {
  const { pool, driver, clock } = fakePool(
    ({ sql }) => (sql === FIRST ? 'hang' : undefined),
    {},
    { without: ['interrupt'] },
  );
  const batch = follow(pool.batch([FIRST, SECOND], { timeoutMs: 100 }));
  await clock.advance(120);
  driver.calls.find(({ sql }) => sql === FIRST)?.resolve();
  await clock.settle();
  expect(errorOf(batch)).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  expect(driver.calls.map(({ sql }) => sql)).not.toContain(SECOND);
});

it('a batch whose COMMIT returns soon after its limit is done', async () => {
  const { pool, driver, clock } = fakePool(({ sql }) => (sql === 'COMMIT' ? 'hang' : undefined));
  const batch = follow(pool.batch([FIRST], { timeoutMs: 100 }));
  await clock.advance(120);
  expect(batch.now.state).toBe('pending');
  driver.calls.find(({ sql }) => sql === 'COMMIT')?.resolve();
  await clock.settle();
  expect(batch.now.state).toBe('resolved');
});

it('what a statement itself throws is passed on as it is, and nothing was taken', async () => {
  const { pool, driver } = fakePool(() => undefined);
  const mine = new Error('mine');
  const statement = Object.defineProperty<[string]>(['SELECT 1'], 0, {
    get: () => {
      throw mine;
    },
  });
  await expect(pool.batch([statement])).rejects.toBe(mine);
  expect(driver.calls).toEqual([]);
});
