import { pbkdf2 } from 'node:crypto';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Queryable, QueryOptions, SqlitePool } from '../../src/index.ts';
import { cancelledBy, ENDLESS, failure, onSqlite3, poolWithTable, timed, valuesOf } from './helpers.ts';

/** Every way to run something that takes for ever. */
const CALLS: readonly { name: string; call: (db: Queryable, options: QueryOptions) => Promise<unknown> }[] = [
  { name: 'execute', call: (db, options) => db.execute(ENDLESS, [], options) },
  {
    name: 'execute in row mode array',
    call: (db, options) => db.execute(ENDLESS, [], { ...options, rowMode: 'array' }),
  },
  { name: 'get', call: (db, options) => db.get(ENDLESS, [], options) },
  { name: 'all', call: (db, options) => db.all(ENDLESS, [], options) },
  { name: 'run', call: (db, options) => db.run(`INSERT INTO t (v) ${ENDLESS}`, [], options) },
  {
    name: 'script',
    call: (db, options) => db.script(`BEGIN; INSERT INTO t (v) VALUES (1); ${ENDLESS}; COMMIT`, options),
  },
  { name: 'iterate', call: (db, options) => db.iterate(ENDLESS, [], options).next() },
  {
    name: 'transaction',
    call: (db, options) =>
      db.transaction(async (tx) => {
        await tx.run('INSERT INTO t (v) VALUES (1)');
        await tx.all(ENDLESS);
      }, options),
  },
];

const HOSTS: readonly {
  host: string;
  on: (pool: SqlitePool, use: (db: Queryable) => Promise<unknown>) => Promise<unknown>;
}[] = [
  { host: 'the pool', on: (pool, use) => use(pool) },
  { host: 'a lease', on: (pool, use) => pool.connection(use) },
];

for (const { host, on } of HOSTS) {
  test.for(CALLS)(
    `F40 $name on ${host} is interrupted at its timeoutMs, and the connection is good for the next`,
    async ({ call }) => {
      const pool = await poolWithTable({ poolSize: 1 });
      const took = await timed(() =>
        on(pool, async (db) => {
          expect(await cancelledBy(call(db, { timeoutMs: 50 }))).toMatchObject({
            code: 'STATEMENT_TIMEOUT',
            statusCode: 503,
          });
          // The interrupt ends the native call too: the same connection serves the next one.
          expect(await db.get('SELECT 1 AS one')).toEqual({ one: 1 });
        }),
      );
      expect(took).toBeGreaterThanOrEqual(49);
      expect(took).toBeLessThan(1500);
      expect(await valuesOf(pool)).toEqual([]);
      await pool.run('INSERT INTO t (v) VALUES (2)');
      const evictions = { invalid: 0, dirty: 0, discarded: 0, replaced: 0 };
      expect(pool.stats()).toMatchObject({ opens: 1, leased: 0, writerHeld: false, evictions });
    },
  );

  test.for(CALLS)(
    `$name on ${host} rejects with the reason of its signal, while it runs`,
    async ({ call }) => {
      const pool = await poolWithTable({ poolSize: 1 });
      await on(pool, async (db) => {
        const controller = new AbortController();
        const reason = new Error('enough');
        setTimeout(() => {
          controller.abort(reason);
        }, 30);
        expect(await cancelledBy(call(db, { signal: controller.signal }))).toBe(reason);
      });
      expect(await valuesOf(pool)).toEqual([]);
      expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false });
    },
  );

  test.for(CALLS)(`$name on ${host} with a signal that is aborted already does nothing`, async ({ call }) => {
    const pool = await poolWithTable();
    const reason = new Error('before');
    await on(pool, async (db) => {
      expect(await failure(call(db, { signal: AbortSignal.abort(reason) }))).toBe(reason);
    });
    expect(await valuesOf(pool)).toEqual([]);
  });
}

test('F40 statementTimeoutMs is the limit of every call that sets none, and a call can lift it', async () => {
  const pool = await poolWithTable({ statementTimeoutMs: 50 });
  expect(await failure(pool.get(ENDLESS))).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  const longer = ENDLESS.replace('5000000000', '2000000');
  expect(await pool.get(longer, [], { timeoutMs: Infinity })).toEqual({ c: 2_000_000 });
});

test('the time limit of iterate is for each step, not for the time its consumer takes', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.script('INSERT INTO t (v) VALUES (1), (2), (3)');
  const seen: unknown[] = [];
  for await (const row of pool.iterate('SELECT v FROM t', [], { timeoutMs: 200 })) {
    seen.push(row['v']);
    await new Promise((done) => setTimeout(done, 100));
  }
  expect(seen).toEqual([1, 2, 3]);
});

test('an INSERT inside a transaction that is interrupted takes the whole transaction with it', async () => {
  const pool = await poolWithTable();
  const error = await failure(
    pool.transaction(async (tx) => {
      await tx.run("INSERT INTO t (v) VALUES ('first')");
      await failure(tx.run(`INSERT INTO t (v) ${ENDLESS}`, [], { timeoutMs: 30 }));
      await tx.run("INSERT INTO t (v) VALUES ('after')");
    }),
  );
  expect(error).toMatchObject({ code: 'TRANSACTION_LOST' });
  expect(await valuesOf(pool)).toEqual([]);
});

test('F42 an abort that comes as a query completes never hits the next user of its connection', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const query = ENDLESS.replace('5000000000', '3000');
  let inTime = 0;
  let ticks = 0;
  for (let round = 0; round < 300; round += 1) {
    const controller = new AbortController();
    const first = pool.get(query, [], { signal: controller.signal }).then(
      () => false,
      () => true,
    );
    const next = pool.get(query);
    const inTransaction = pool.transaction((tx) => tx.get(query));
    for (let left = ticks; left > 0; left -= 1) await new Promise(setImmediate);
    controller.abort(new Error('enough'));
    expect(await next).toEqual({ c: 3000 });
    expect(await inTransaction).toEqual({ c: 3000 });
    // However fast the machine is, the aborts come close to the moment at which the query completes.
    if (await first) {
      inTime += 1;
      ticks += 1;
    } else ticks = Math.max(0, ticks - 3);
  }
  // Some came in time and some too late, or this has tested nothing.
  expect(inTime).toBeGreaterThan(0);
  expect(inTime).toBeLessThan(300);
  expect(pool.stats().opens).toBe(1);
});

/** Keeps every thread of libuv at work for a while. */
function occupyThreads(): Promise<unknown> {
  const work = promisify(pbkdf2);
  return Promise.all(Array.from({ length: 8 }, () => work('password', 'salt', 100_000, 64, 'sha512')));
}

test.for(['new', 'cached'])(
  'F40 a query (%s) that is cancelled while it still waits for a thread ends as soon as it has one',
  async (kind) => {
    const pool = await poolWithTable({ poolSize: 1 });
    const query = ENDLESS.replace('5000000000', '?');
    if (kind === 'cached') await pool.get(query, [1]);
    const occupied = occupyThreads();
    expect(await failure(pool.get(query, [5e9], { timeoutMs: 20 }))).toMatchObject({
      code: 'STATEMENT_TIMEOUT',
    });
    // SQLite forgets an interrupt that comes before the statement: without another one this would wait for minutes.
    expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
    await occupied;
  },
);

test('F40 a cursor that is cancelled while it still waits for a thread ends as soon as it has one', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const occupied = occupyThreads();
  const rows = pool.iterate(ENDLESS, [], { timeoutMs: 20 });
  expect(await failure(rows.next())).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  await occupied;
});

test.runIf(onSqlite3)('a write that is cancelled before SQLite has seen it is never done', async () => {
  const pool = await poolWithTable({ poolSize: 1, statementCacheSize: 0 });
  const occupied = occupyThreads();
  const write = pool.run("INSERT INTO t (v) VALUES ('cancelled')", [], { timeoutMs: 20 });
  // The pool has sent it, and cannot know.
  expect(await failure(write)).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
  await occupied;
  expect(await valuesOf(pool)).toEqual([]);
});
