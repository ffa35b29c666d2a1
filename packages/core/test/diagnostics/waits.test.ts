import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  queryChannel,
  transactionChannel,
  type OperationChannel,
  type QueryEvent,
  type TransactionEvent,
} from '../../src/channels.ts';
import { createPool, type Lease, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import { RequestLease, RequestTransaction, type LeaseMode } from '../../src/plugin.ts';
import { fakeClock } from '../../src/testing/index.ts';

const WRITE = 'INSERT INTO t VALUES (1)';

interface Made {
  readonly pool: SqlitePool;
  readonly advance: (ms: number) => Promise<void>;
  readonly transactions: TransactionEvent[];
  readonly queries: QueryEvent[];
}

/** A pool on a file whose time stands still, and the ends of what it does. */
async function make(options: Partial<PoolOptions> = {}): Promise<Made> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-waits-'));
  const clock = fakeClock();
  const pool = createPool({ filename: join(folder, 'app.db'), clock, ...options });
  onTestFinished(async () => {
    await pool.close();
    await rm(folder, { recursive: true, force: true });
  });
  await pool.script('CREATE TABLE t (n)');
  return {
    pool,
    advance: (ms) => clock.advance(ms),
    transactions: endsOf(transactionChannel, pool),
    queries: endsOf(queryChannel, pool),
  };
}

function endsOf<Event extends { readonly pool: object }>(
  channel: OperationChannel<Event>,
  pool: SqlitePool,
): Event[] {
  const events: Event[] = [];
  const asyncEnd = (event: Event): void => {
    if (event.pool === pool) events.push(event);
  };
  channel.subscribe({ asyncEnd });
  onTestFinished(() => {
    channel.unsubscribe({ asyncEnd });
  });
  return events;
}

async function allLeased(pool: SqlitePool, count: number): Promise<Lease[]> {
  return await Promise.all(Array.from({ length: count }, () => pool.acquire()));
}

/** Holds the write lock until the returned function is called. */
async function writing(pool: SqlitePool): Promise<() => Promise<void>> {
  const lease = await pool.acquire();
  await lease.run('BEGIN IMMEDIATE');
  return async () => {
    await lease.run('COMMIT');
    await lease.release();
  };
}

describe('the event of a transaction of the pool', () => {
  it('has its wait for a connection', async () => {
    const { pool, advance, transactions } = await make({ poolSize: 2 });
    const leases = await allLeased(pool, 2);
    const waits = [pool.transaction((tx) => tx.run(WRITE)), pool.transaction(() => 1, { mode: 'deferred' })];
    await advance(20);
    for (const lease of leases) await lease.release();
    await Promise.all(waits);
    expect(transactions).toMatchObject([
      { phase: 'ended', waitMs: 20, lockMs: 0, durationMs: 20 },
      { phase: 'ended', waitMs: 20, lockMs: 0, durationMs: 20 },
    ]);
  });

  it('has its wait for the write lock, also before it has a connection', async () => {
    const { pool, advance, transactions } = await make();
    const commit = await writing(pool);
    const waits = Array.from({ length: 4 }, () => pool.transaction((tx) => tx.run(WRITE)));
    await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(4));
    await advance(30);
    await commit();
    await Promise.all(waits);
    expect(transactions).toMatchObject(Array(4).fill({ waitMs: 0, lockMs: 30, durationMs: 30 }));
  });

  it('has them if the wait failed', async () => {
    const { pool, advance, transactions } = await make({ acquireTimeoutMs: 50, poolSize: 2 });
    const late = { code: 'ACQUIRE_TIMEOUT' };
    const commit = await writing(pool);
    const locked = expect(pool.transaction(() => 1)).rejects.toMatchObject(late);
    await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
    await advance(50);
    await locked;
    await commit();
    const leases = await allLeased(pool, 2);
    const crowded = expect(pool.transaction(() => 1)).rejects.toMatchObject(late);
    await advance(50);
    await crowded;
    for (const lease of leases) await lease.release();
    expect(transactions).toMatchObject([
      { waitMs: 0, lockMs: 50, durationMs: 50, outcome: 'rolled back' },
      { waitMs: 50, lockMs: 0, durationMs: 50, outcome: 'rolled back' },
    ]);
  });

  it('counts the wait for a connection once, if it runs again', async () => {
    const { pool, advance, transactions } = await make();
    let runs = 0;
    await pool.transaction(
      async (tx) => {
        await tx.get('SELECT * FROM t');
        await advance(10);
        if ((runs += 1) === 1) await pool.run(WRITE);
        await tx.run(WRITE);
      },
      { mode: 'deferred', retries: 1 },
    );
    expect(runs).toBe(2);
    expect(transactions).toMatchObject([{ waitMs: 0, lockMs: 0, durationMs: 20 }]);
  });

  it('is none for a call that cannot work', async () => {
    const { pool, transactions } = await make();
    for (const options of [null, { mode: 'later' }, { operation: {} }])
      await expect(pool.transaction(() => 1, options as object)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    expect(transactions).toEqual([]);
  });
});

describe('the event of a transaction on a lease', () => {
  it('has its wait for the calls before it, and that for the write lock; a savepoint has its own', async () => {
    const { pool, advance, transactions } = await make();
    const commit = await writing(pool);
    await pool.connection(async (lease) => {
      const before = lease.run(WRITE);
      const transaction = lease.transaction((tx) => tx.transaction((inner) => inner.run(WRITE)));
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      await advance(10);
      await commit();
      await Promise.all([before, transaction]);
      const again = await writing(pool);
      const second = lease.transaction((tx) => tx.run(WRITE));
      await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
      await advance(5);
      await again();
      await second;
    });
    expect(transactions).toMatchObject([
      { mode: 'savepoint', waitMs: 0, lockMs: 0 },
      { mode: 'immediate', waitMs: 10, lockMs: 0 },
      { mode: 'immediate', waitMs: 0, lockMs: 5 },
    ]);
  });
});

describe.each<LeaseMode>(['request', 'statement'])('in a request of mode %s', (mode) => {
  function requestOn(pool: SqlitePool): RequestLease {
    return new RequestLease(pool, {
      mode,
      disconnectGraceMs: 1000,
      method: 'POST',
      request: () => ({ id: 'req-1', route: 'POST /' }),
    });
  }

  it('the event of a transaction has both waits, and names the request', async () => {
    const { pool, advance, transactions } = await make();
    const commit = await writing(pool);
    const request = requestOn(pool);
    const waits = request.transaction((tx) => tx.run(WRITE));
    await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
    await advance(30);
    await commit();
    await waits;
    request.respond();
    expect(transactions).toMatchObject([{ waitMs: 0, lockMs: 30, request: { route: 'POST /' } }]);
  });

  it('the first statements of a request that is one transaction tell its wait for the lock from that for a connection', async () => {
    const { pool, advance, transactions, queries } = await make({ poolSize: 3 });
    const db = new RequestTransaction(requestOn(pool));
    const commit = await writing(pool);
    const first = db.run(WRITE);
    await vi.waitFor(() => expect(pool.stats().writersWaiting).toBe(1));
    await advance(10);
    const second = db.get('SELECT count(*) AS n FROM t');
    await advance(20);
    await commit();
    await Promise.all([first, second]);
    await db.get('SELECT 3');
    await db.settle(200);
    db.lease.respond();
    const [one, two, three] = queries.slice(-3);
    expect(one).toMatchObject({ sql: WRITE, waitMs: 0, lockMs: 30, inTransaction: true });
    expect(two).toMatchObject({ waitMs: 0, lockMs: 20 });
    expect(three).toMatchObject({ waitMs: 0, lockMs: 0 });
    expect(transactions).toMatchObject([{ waitMs: 0, lockMs: 30, outcome: 'committed' }]);
  });

  it('such a statement has the wait for a connection too, and the waits of a BEGIN that failed', async () => {
    const { pool, advance, transactions, queries } = await make({ poolSize: 1, acquireTimeoutMs: 50 });
    const db = new RequestTransaction(requestOn(pool));
    const [lease] = await allLeased(pool, 1);
    const failed = expect(db.run(WRITE)).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
    await advance(50);
    await failed;
    const write = db.run(WRITE);
    await advance(20);
    await lease?.release();
    await write;
    await db.settle(200);
    db.lease.respond();
    expect(queries.slice(-2)).toMatchObject([
      { waitMs: 50, lockMs: 0, errorCode: 'ACQUIRE_TIMEOUT' },
      { waitMs: 20, lockMs: 0 },
    ]);
    expect(transactions).toMatchObject([
      { waitMs: 50, outcome: 'rolled back' },
      { waitMs: 20, outcome: 'committed' },
    ]);
  });
});
