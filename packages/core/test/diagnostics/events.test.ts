import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inspect } from 'node:util';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type OperationChannel,
  acquireChannel,
  checkpointChannel,
  closeChannel,
  evictChannel,
  leakChannel,
  openChannel,
  queryChannel,
  releaseChannel,
  slowChannel,
  transactionChannel,
  type PlainChannel,
} from '../../src/channels.ts';
import { createPool, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import { fakeClock, fakeDriver } from '../../src/testing/index.ts';

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-channels-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'app.db');
}

async function newPool(options: Partial<PoolOptions> = {}): Promise<SqlitePool> {
  const pool = createPool({ filename: await newFile(), ...options });
  onTestFinished(() => pool.close());
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)');
  return pool;
}

/** The events of one pool, each as it was when it was published, with the name of its part of the channel. */
function listen<Event extends { readonly pool: object }>(
  channel: OperationChannel<Event>,
  pool: SqlitePool,
): (Event & { part: string })[] {
  const events: (Event & { part: string })[] = [];
  const hear = (part: string) => (event: Event) => {
    if (event.pool === pool) events.push({ ...event, part });
  };
  const subscribers = {
    start: hear('start'),
    end: hear('end'),
    asyncStart: hear('asyncStart'),
    asyncEnd: hear('asyncEnd'),
    error: hear('error'),
  };
  channel.subscribe(subscribers);
  onTestFinished(() => channel.unsubscribe(subscribers));
  return events;
}

function hear<Event extends { readonly pool: object }>(channel: PlainChannel<Event>, pool: object): Event[] {
  const events: Event[] = [];
  const listener = (event: Event): void => {
    if (event.pool === pool) events.push(event);
  };
  channel.subscribe(listener);
  onTestFinished(() => {
    channel.unsubscribe(listener);
  });
  return events;
}

const ended = <Event extends { part: string }>(events: readonly Event[]): Event[] =>
  events.filter(({ part }) => part === 'asyncEnd');

describe('sqlite-pool:query', () => {
  it('says of a read what was asked, what came and how long it took, in the order of a traced promise', async () => {
    const pool = await newPool();
    await pool.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    const events = listen(queryChannel, pool);
    await pool.all('SELECT * FROM t WHERE id < ?', [9]);
    expect(events.map(({ part, phase }) => [part, phase])).toEqual([
      ['start', 'waiting'],
      ['end', expect.stringMatching(/waiting|running/)],
      ['asyncStart', 'ended'],
      ['asyncEnd', 'ended'],
    ]);
    const [event] = ended(events);
    expect(event).toMatchObject({
      pool,
      poolName: 'app.db',
      database: 'app.db',
      driver: 'node:sqlite',
      method: 'all',
      sql: 'SELECT * FROM t WHERE id < ?',
      kind: 'read',
      parameters: 1,
      statements: 1,
      rows: 2,
      changes: undefined,
      busyRetries: 0,
      groupSize: 1,
      inTransaction: false,
      request: undefined,
      errorCode: undefined,
    });
    const { durationMs, waitMs, lockMs, runMs } = event!;
    expect(durationMs).toBeGreaterThan(0);
    expect(waitMs + lockMs + runMs!).toBeCloseTo(durationMs!, 5);
  });

  it('has the text as the caller wrote it, also where the pool asks for one row', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    await pool.get('SELECT * FROM t');
    expect(ended(events)).toMatchObject([{ method: 'get', sql: 'SELECT * FROM t', rows: 0 }]);
  });

  it('never has a bound value or a row', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    await pool.run('INSERT INTO t VALUES (?, ?)', [1, 'a-bound-value']);
    await pool.all('SELECT * FROM t WHERE name = :name', { name: 'a-bound-value' });
    for await (const row of pool.iterate('SELECT * FROM t WHERE name = ?', ['a-bound-value']))
      expect(row).toBeDefined();
    await pool.batch([['SELECT ? AS x', ['a-bound-value']]]);
    expect(ended(events)).toHaveLength(4);
    for (const event of events) {
      const { pool: itself, ...rest } = event;
      expect(itself).toBe(pool);
      expect(inspect(rest, { depth: 9, showHidden: true })).not.toContain('a-bound-value');
    }
  });

  it('says that a statement failed, and with which code', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    await pool.run("INSERT INTO t VALUES (1, 'a')");
    const error: unknown = await pool.run("INSERT INTO t VALUES (1, 'b')").catch((reason: unknown) => reason);
    expect(events.map(({ part }) => part).slice(-4)).toEqual(['end', 'error', 'asyncStart', 'asyncEnd']);
    expect(ended(events)[1]).toMatchObject({
      kind: 'write',
      errorCode: 'SQLITE_CONSTRAINT_PRIMARYKEY',
      error,
    });
  });

  it('ends also for a call that is refused before it begins', async () => {
    const pool = await newPool();
    const lease = await pool.acquire();
    await lease.release();
    const events = listen(queryChannel, pool);
    await expect(pool.run('BEGIN')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(lease.get('SELECT 1')).rejects.toMatchObject({ code: 'LEASE_ENDED' });
    expect(ended(events)).toMatchObject([{ errorCode: 'INVALID_ARGUMENT' }, { errorCode: 'LEASE_ENDED' }]);
  });

  it('says how many writes shared a COMMIT, and how long each waited for the write lock', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    const release = await pool.acquire();
    await release.run('BEGIN IMMEDIATE');
    const writes = Array.from({ length: 5 }, () => pool.run('INSERT INTO t (name) VALUES (?)', ['x']));
    await release.run('COMMIT');
    await release.release();
    await Promise.all(writes);
    const groups = ended(events).filter(({ sql }) => sql.startsWith('INSERT'));
    expect(groups.map(({ groupSize }) => groupSize)).toEqual([5, 5, 5, 5, 5]);
    for (const { lockMs } of groups) expect(lockMs).toBeGreaterThan(0);
  });

  it('counts a wait for another process as a wait for a lock, also for writes that share a COMMIT', async () => {
    const filename = await newFile();
    const pool = createPool({ filename });
    onTestFinished(() => pool.close());
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)');
    const events = listen(queryChannel, pool);
    const other = new DatabaseSync(filename);
    onTestFinished(() => other.close());
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const writes = Array.from({ length: 3 }, () => pool.run("INSERT INTO t (name) VALUES ('x')"));
    await lease.run('COMMIT');
    other.exec('BEGIN IMMEDIATE');
    await lease.release();
    await vi.waitFor(() => {
      const now = pool.inspect().connections.map(({ query }) => query);
      expect(now).toContainEqual(expect.objectContaining({ phase: 'locking', method: 'run' }));
    });
    other.exec('COMMIT');
    await Promise.all(writes);
    const group = ended(events).filter(({ sql }) => sql.startsWith('INSERT'));
    expect(group.map(({ groupSize }) => groupSize)).toEqual([3, 3, 3]);
    for (const { busyRetries, lockMs, waitMs, runMs, durationMs } of group) {
      expect(busyRetries).toBeGreaterThan(0);
      expect(waitMs + lockMs + runMs!).toBeCloseTo(durationMs!);
    }
  });

  it('has times that add up to the whole, also for a call that is cancelled while it waits for the lock', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    const lease = await pool.acquire();
    await lease.run('BEGIN IMMEDIATE');
    const cancel = Array.from({ length: 50 }, () => new AbortController());
    const writes = cancel.map(({ signal }) => pool.run('DELETE FROM t', [], { signal }));
    for (const one of cancel) one.abort();
    await Promise.allSettled(writes);
    await lease.run('ROLLBACK');
    await lease.release();
    const deletes = ended(events).filter(({ sql }) => sql === 'DELETE FROM t');
    expect(deletes).toHaveLength(50);
    for (const { waitMs, lockMs, runMs, durationMs } of deletes)
      expect(waitMs + lockMs + runMs!).toBeCloseTo(durationMs!, 9);
  });

  it('says how long a call waited for a connection', async () => {
    const pool = await newPool({ poolSize: 1 });
    const events = listen(queryChannel, pool);
    const lease = await pool.acquire();
    const read = pool.get('SELECT 1');
    await lease.all(
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i FROM n',
    );
    await lease.release();
    await read;
    const event = ended(events).find(({ sql }) => sql === 'SELECT 1')!;
    expect(event.waitMs).toBeGreaterThan(event.runMs!);
  });

  it('is one event for a batch, a script and a cursor', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    await pool.batch([['INSERT INTO t (name) VALUES (?)', ['a']], 'SELECT * FROM t']);
    await pool.script('DELETE FROM t; INSERT INTO t VALUES (1, 2), (2, 3), (3, 4)');
    for await (const row of pool.iterate('SELECT * FROM t')) expect(row).toBeDefined();
    for await (const row of pool.iterate('SELECT * FROM t')) {
      expect(row).toBeDefined();
      break;
    }
    expect(ended(events)).toMatchObject([
      {
        method: 'batch',
        statements: 2,
        parameters: 1,
        kind: 'write',
        rows: 1,
        changes: 1,
        sql: expect.stringContaining(';\n') as string,
      },
      { method: 'script', statements: 1, parameters: 0, kind: 'write' },
      { method: 'iterate', kind: 'read', rows: 3 },
      { method: 'iterate', rows: 1 },
    ]);
  });

  it('ends for a cursor that its loop has left without a word, with its lease at the latest', async () => {
    const pool = await newPool({ closeTimeoutMs: 100 });
    await pool.run("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    const events = listen(queryChannel, pool);
    const ends = (): object[] => ended(events).filter(({ method }) => method === 'iterate');
    const abandoned = { rows: 1, errorCode: 'LEASE_ENDED', phase: 'ended' };
    const lease = await pool.acquire();
    await lease.iterate('SELECT * FROM t').next();
    expect(ends()).toEqual([]);
    await lease.release();
    expect(ends()).toMatchObject([abandoned]);
    await pool.transaction((tx) => tx.iterate('SELECT * FROM t').next());
    const revoked = await pool.acquire();
    await revoked.iterate('SELECT * FROM t').next();
    await revoked.revoke();
    const discarded = await pool.acquire();
    await discarded.iterate('SELECT * FROM t').next();
    await discarded.discard();
    expect(ends()).toMatchObject(Array(4).fill(abandoned));
    // One that nobody ever releases ends with the pool.
    await pool.iterate('SELECT * FROM t').next();
    await pool.close();
    expect(ends()).toMatchObject(Array(5).fill(abandoned));
  });

  it('ends for a cursor on a connection that the pool abandons, because a call on it does not return', async () => {
    const clock = fakeClock();
    const driver = fakeDriver({ execute: { 1: 'hang' } });
    const pool = createPool({ driver, clock, operationTimeoutMs: 100 });
    const events = listen(queryChannel, pool);
    const lease = await pool.acquire();
    await lease.iterate('SELECT 1').next();
    const hangs = expect(lease.get('SELECT 2')).rejects.toMatchObject({ code: 'LEASE_ENDED' });
    const discarded = lease.discard();
    await hangs;
    await clock.advance(100);
    await discarded;
    expect(pool.stats().quarantined).toBe(1);
    expect(ended(events)).toContainEqual(
      expect.objectContaining({ method: 'iterate', rows: 1, errorCode: 'LEASE_ENDED' }),
    );
    driver.call('execute').resolve();
    await pool.close();
  });

  it('ends once for a loop that goes on after its cursor was closed, and as its caller sees it', async () => {
    const pool = await newPool();
    await pool.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
    const events = listen(queryChannel, pool);
    const lease = await pool.acquire();
    const rows = lease.iterate('SELECT * FROM t');
    await rows.next();
    await lease.release();
    await expect(rows.next()).rejects.toMatchObject({ code: 'LEASE_ENDED' });
    // A loop that ends as it should has no error, whatever closes its cursor.
    for await (const row of pool.iterate('SELECT * FROM t')) if (row['id'] === 1) break;
    for await (const row of pool.iterate('SELECT * FROM t')) expect(row).toBeDefined();
    const failing = pool.iterate('SELECT abs(-9223372036854775808 + id - 1) FROM t');
    await expect(failing.next()).rejects.toMatchObject({ code: 'SQLITE_ERROR' });
    expect(ended(events).map(({ rows: count, errorCode }) => [count, errorCode])).toEqual([
      [1, 'LEASE_ENDED'],
      [1, undefined],
      [2, undefined],
      [0, 'SQLITE_ERROR'],
    ]);
  });

  it('tells a statement in a transaction from one alone', async () => {
    const pool = await newPool();
    const events = listen(queryChannel, pool);
    await pool.transaction((tx) => tx.run('DELETE FROM t'));
    await pool.connection((lease) => lease.run('DELETE FROM t'));
    expect(ended(events).map(({ inTransaction }) => inTransaction)).toEqual([true, false]);
  });
});

describe('no event of any channel', () => {
  const SECRET = 'a-bound-value';

  /** Everything that a pool publishes, at every moment. The pool itself is not looked into. */
  function hearAll(pool: SqlitePool): { channel: string; event: object }[] {
    const heard: { channel: string; event: object }[] = [];
    const keep = (channel: string, { pool: from, ...event }: { readonly pool: object }): void => {
      if (from === pool) heard.push({ channel, event });
    };
    for (const channel of [acquireChannel, openChannel, queryChannel, transactionChannel])
      for (const moment of ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const) {
        const { name } = channel[moment];
        const listener = (event: unknown): void => {
          keep(String(name).split(':').slice(1, 3).join(':'), event as { pool: object });
        };
        channel[moment].subscribe(listener);
        onTestFinished(() => {
          channel[moment].unsubscribe(listener);
        });
      }
    for (const [channel, name] of PLAIN) {
      const listener = (event: { readonly pool: object }): void => {
        keep(name, event);
      };
      channel.subscribe(listener);
      onTestFinished(() => {
        channel.unsubscribe(listener);
      });
    }
    return heard;
  }

  const PLAIN = [
    [checkpointChannel, 'sqlite-pool:checkpoint'],
    [closeChannel, 'sqlite-pool:close'],
    [evictChannel, 'sqlite-pool:evict'],
    [leakChannel, 'sqlite-pool:leak'],
    [releaseChannel, 'sqlite-pool:release'],
    [slowChannel, 'sqlite-pool:slow'],
  ] as const;

  it('has a bound value or a row, whatever is done and however it fails', async () => {
    const pool = createPool({
      filename: await newFile(),
      slowStatementMs: 0,
      leakWarningMs: 1,
      logger: { debug: () => undefined, warn: () => undefined },
    });
    onTestFinished(() => pool.close());
    const heard = hearAll(pool);
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (name <> 0))');
    const insert = 'INSERT INTO t (name) VALUES (?) RETURNING name';
    const fail = async (call: Promise<unknown>): Promise<void> => {
      await expect(call).rejects.toThrow();
    };
    await pool.run(insert, [SECRET]);
    await fail(pool.run(insert, [SECRET]));
    await fail(pool.get('SELECT :name FROM nowhere', { name: SECRET }));
    await fail(pool.run('INSERT INTO t (id) VALUES (?)', [SECRET]));
    await fail(pool.run(insert, [SECRET], { signal: AbortSignal.abort() }));
    await fail(pool.run(insert, [SECRET, SECRET]));
    await fail(pool.batch([[insert, [SECRET]]]));
    await Promise.allSettled(Array.from({ length: 5 }, () => pool.run(insert, [SECRET])));
    await pool.execute('SELECT * FROM t WHERE name = ?', [SECRET], { rowMode: 'array' });
    for await (const row of pool.iterate('SELECT * FROM t WHERE name = $name', { name: SECRET }))
      expect(row).toMatchObject({ name: SECRET });
    await fail(pool.transaction((tx) => tx.transaction((inner) => inner.run(insert, [SECRET]))));
    const { leaks } = pool.stats();
    const lease = await pool.acquire();
    await lease.iterate('SELECT * FROM t WHERE name = ?', [SECRET]).next();
    await vi.waitFor(() => expect(pool.stats().leaks).toBeGreaterThan(leaks));
    await lease.revoke();
    await pool.connection((one) => one.run('PRAGMA cache_size = 10'));
    await pool.checkpoint({ mode: 'truncate' });
    await pool.close();
    expect(new Set(heard.map(({ channel }) => channel))).toEqual(
      new Set([...PLAIN.map(([, name]) => name), ...OPERATIONS]),
    );
    for (const { channel, event } of heard)
      expect(inspect(event, { depth: 9, showHidden: true }), channel).not.toContain(SECRET);
  });

  const OPERATIONS = ['query', 'acquire', 'transaction', 'open'].map((name) => `sqlite-pool:${name}`);

  it('is missing in the table of docs/sight.md, nor has the table one more', async () => {
    const docs = await readFile(new URL('../../../../docs/sight.md', import.meta.url), 'utf8');
    const [, table = ''] = docs.split('## The channels');
    const named = [...table.matchAll(/^\| `(sqlite-pool:\w+)` \|/gm)].map(([, name]) => name);
    expect(named.toSorted()).toEqual([...PLAIN.map(([, name]) => name), ...OPERATIONS].toSorted());
  });
});

describe('sqlite-pool:acquire', () => {
  it('tells leases from statements, and who waited behind how many', async () => {
    const pool = await newPool({ poolSize: 1 });
    const events = listen(acquireChannel, pool);
    const lease = await pool.acquire();
    const reads = [pool.get('SELECT 1'), pool.get('SELECT 2')];
    await lease.release();
    await Promise.all(reads);
    expect(ended(events)).toMatchObject([
      { purpose: 'lease', ahead: 0, errorCode: undefined },
      { purpose: 'statement', ahead: 0 },
      { purpose: 'statement', ahead: 1 },
    ]);
  });

  it('says that a wait ran out of time', async () => {
    const pool = await newPool({ poolSize: 1 });
    const events = listen(acquireChannel, pool);
    const lease = await pool.acquire();
    await expect(pool.acquire({ timeoutMs: 5 })).rejects.toMatchObject({ code: 'ACQUIRE_TIMEOUT' });
    await lease.release();
    expect(ended(events)[1]).toMatchObject({ errorCode: 'ACQUIRE_TIMEOUT' });
    expect(ended(events)[1]!.durationMs).toBeGreaterThanOrEqual(4);
  });
});

describe('sqlite-pool:transaction', () => {
  it('says how each ended, savepoints as well', async () => {
    const pool = await newPool();
    const events = listen(transactionChannel, pool);
    await pool.transaction((tx) => tx.transaction((inner) => inner.run('DELETE FROM t')));
    await pool
      .transaction(() => Promise.reject(new Error('no')), { mode: 'deferred' })
      .catch(() => undefined);
    expect(ended(events)).toMatchObject([
      { mode: 'savepoint', outcome: 'committed' },
      { mode: 'immediate', outcome: 'committed' },
      { mode: 'deferred', outcome: 'rolled back', errorCode: 'Error' },
    ]);
  });
});

describe('sqlite-pool:open', () => {
  it('has each opening of a connection, and why one failed', async () => {
    const pool = createPool({ filename: join(await newFile(), 'missing.db') });
    onTestFinished(() => pool.close());
    const events = listen(openChannel, pool);
    await pool.open().catch(() => undefined);
    expect(ended(events)).toMatchObject([{ errorCode: 'OPEN_FAILED', database: 'missing.db' }]);
  });
});

describe('the plain channels', () => {
  it('sqlite-pool:release says how long a lease was held, and how it ended', async () => {
    const pool = await newPool();
    const events = hear(releaseChannel, pool);
    const lease = await pool.acquire();
    await lease.release();
    const other = await pool.acquire();
    await other.discard();
    expect(events).toMatchObject([{ ending: 'released' }, { ending: 'discarded' }]);
    expect(events[0]!.heldMs).toBeGreaterThanOrEqual(0);
  });

  it('sqlite-pool:evict says why a connection is closed', async () => {
    const pool = await newPool();
    const events = hear(evictChannel, pool);
    await pool.connection((lease) => lease.run('PRAGMA cache_size = 10'));
    pool.evict();
    expect(events.map(({ reason }) => reason)).toContain('dirty');
  });

  it('sqlite-pool:leak has the stack of the acquire', async () => {
    const pool = await newPool({
      leakWarningMs: 5,
      logger: { debug: () => undefined, warn: () => undefined },
    });
    const leaked = new Promise<object>((resolve) => {
      const listener = (event: object): void => {
        resolve(event);
        leakChannel.unsubscribe(listener);
      };
      leakChannel.subscribe(listener);
    });
    const lease = await pool.acquire();
    expect(await leaked).toMatchObject({
      pool,
      how: 'old',
      stack: expect.stringContaining('events.test.ts') as string,
    });
    await lease.release();
  });

  it('sqlite-pool:slow has the event of the call', async () => {
    const pool = await newPool({
      slowStatementMs: 0,
      logger: { debug: () => undefined, warn: () => undefined },
    });
    const events = hear(slowChannel, pool);
    await pool.get('SELECT 1');
    expect(events).toMatchObject([{ sql: 'SELECT 1', method: 'get', phase: 'ended' }]);
  });

  it('sqlite-pool:checkpoint says what was written back', async () => {
    const pool = await newPool();
    const events = hear(checkpointChannel, pool);
    await pool.checkpoint({ mode: 'truncate' });
    expect(events).toMatchObject([{ mode: 'truncate', busy: false }]);
  });

  it('sqlite-pool:close comes when the last connection is closed', async () => {
    const pool = await newPool();
    const events = hear(closeChannel, pool);
    await pool.close();
    expect(events).toMatchObject([{ pool, poolName: 'app.db' }]);
  });
});
