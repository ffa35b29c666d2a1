import assert from 'node:assert/strict';
import fc from 'fast-check';
import { OutcomeUnknownError, SqlitePoolError, type Lease, type Queryable } from '../../../src/index.ts';
import type { FakeCall, FakeMethod, FakeOutcome } from '../../../src/testing/index.ts';
import { checkCapacity, fakePool, settled, type FakePool } from '../support.ts';

/** What a user of the pool does; each begins at its step, and runs beside those before it. */
type Use =
  | 'get'
  | 'run'
  | 'script'
  | 'cursor'
  | 'transaction'
  | 'failing transaction'
  | 'nested transaction'
  | 'lease'
  | 'lease with a transaction'
  | 'lease with a forgotten transaction'
  | 'lease that goes on after a failed transaction'
  | 'discarded lease'
  | 'revoked lease';

/** What happens to one user, or to one call that hangs. */
type OnOne = 'abort' | 'resolve' | 'reject';

/** One step of a schedule: plain data, as in `schedule.ts`. */
type PoolStep =
  | { readonly do: Use; readonly timeoutMs: number; readonly tick: boolean }
  | { readonly do: OnOne; readonly which: number; readonly tick: boolean }
  | { readonly do: 'advance' | 'jump'; readonly ms: number; readonly tick: boolean }
  | { readonly do: 'evict' | 'close'; readonly tick: boolean };

/** How the calls of the driver end, in order: most well, some not. */
type Ending = 'succeed' | 'hang' | 'twice' | 'interruptible' | 'reject' | 'throw';

/** A whole run. */
export interface PoolSchedule {
  readonly poolSize: number;
  readonly abilities: boolean;
  readonly endings: readonly Ending[];
  readonly steps: readonly PoolStep[];
}

/** The calls that an interrupt can end. */
const INTERRUPTIBLE: ReadonlySet<FakeMethod> = new Set(['execute', 'script', 'next']);

const LIMIT_MS = 1000;
/** More than all limits that can follow one another. */
const FOREVER_MS = 60 * LIMIT_MS;

const USES: Readonly<Record<Use, (db: User) => Promise<unknown>>> = {
  get: ({ pool, tag, limits }) => pool.get(`SELECT ${tag}`, [], limits),
  run: ({ pool, tag, limits }) => pool.run(`INSERT INTO ${tag} VALUES (1)`, [], limits),
  script: ({ pool, tag, limits }) => pool.script(`INSERT INTO ${tag} VALUES (1); DELETE FROM ${tag}`, limits),
  cursor: async ({ pool, tag, limits }) => {
    for await (const row of pool.iterate(`SELECT n FROM ${tag}`, [], limits)) if (row['n'] === 2) break;
  },
  transaction: ({ pool, tag, limits }) => pool.transaction((tx) => write(tx, tag), limits),
  'failing transaction': ({ pool, tag, limits }) =>
    pool.transaction(async (tx) => {
      await write(tx, tag);
      throw new Told('given up');
    }, limits),
  'nested transaction': ({ pool, tag, limits }) =>
    pool.transaction(async (tx) => {
      await tx.transaction((inner) => write(inner, tag)).catch(() => undefined);
      await write(tx, tag);
    }, limits),
  lease: (user) => onLease(user, 'release', (lease) => lease.get(`SELECT ${user.tag}`)),
  'lease with a transaction': (user) =>
    onLease(user, 'release', (lease) => lease.transaction((tx) => write(tx, user.tag))),
  'lease with a forgotten transaction': (user) =>
    onLease(user, 'release', async (lease) => {
      await lease.execute('BEGIN');
      await write(lease, user.tag);
    }),
  'lease that goes on after a failed transaction': (user) =>
    onLease(user, 'release', async (lease) => {
      await lease.transaction(() => Promise.reject(new Told('inside'))).catch(() => undefined);
      await lease.run(`INSERT INTO ${user.tag} VALUES (4)`);
    }),
  'discarded lease': (user) => onLease(user, 'discard', (lease) => write(lease, user.tag)),
  'revoked lease': (user) =>
    onLease(user, 'revoke', (lease) => {
      void lease.run(`INSERT INTO ${user.tag} VALUES (3)`).catch(() => undefined);
      return Promise.resolve();
    }),
};

class Told extends Error {}

interface User extends FakePool {
  /** What its statements can be known by. */
  readonly tag: string;
  readonly limits: { readonly timeoutMs: number; readonly signal: AbortSignal };
  /** Tells that no statement of this user may begin any more. */
  over(): void;
}

async function write(db: Queryable, tag: string): Promise<void> {
  await db.run(`INSERT INTO ${tag} VALUES (2)`);
  await db.get(`SELECT ${tag}`);
}

async function onLease(
  { pool, limits, over }: User,
  end: 'release' | 'discard' | 'revoke',
  use: (lease: Lease) => Promise<unknown>,
): Promise<void> {
  const lease = await pool.acquire(limits);
  try {
    await use(lease);
  } finally {
    await lease[end]();
    over();
  }
}

const tick = fc.boolean();

const poolStep: fc.Arbitrary<PoolStep> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constantFrom(...(Object.keys(USES) as Use[])),
      timeoutMs: fc.constantFrom(20, 200, 5000),
      tick,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('abort', 'resolve', 'reject'), which: fc.nat(5), tick }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('advance', 'jump'),
      ms: fc.constantFrom(1, 20, 200, 1000, 3000),
      tick,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('evict' as const), tick }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('evict', 'close'), tick }) },
);

const ending: fc.Arbitrary<Ending> = fc.oneof(
  { weight: 12, arbitrary: fc.constant('succeed' as const) },
  { weight: 4, arbitrary: fc.constantFrom('hang', 'twice', 'interruptible', 'reject', 'throw') },
);

/** Schedules of up to `length` steps. */
export function poolSchedules(length: number): fc.Arbitrary<PoolSchedule> {
  return fc.record({
    poolSize: fc.integer({ min: 1, max: 3 }),
    abilities: fc.boolean(),
    endings: fc.array(ending, { maxLength: 3 * length, size: 'max' }),
    steps: fc.array(poolStep, { maxLength: length, size: 'max' }),
  });
}

/** Runs a schedule; rejects at the first step after which something does not hold. */
export async function runOnPool({ poolSize, abilities, endings, steps }: PoolSchedule): Promise<void> {
  let at = 0;
  let calm = false;
  const script = ({ method }: FakeCall): FakeOutcome => {
    const next = calm ? 'succeed' : (endings[at] ?? 'succeed');
    at += 1;
    if (next === 'interruptible' && !INTERRUPTIBLE.has(method)) return 'succeed';
    if (next === 'reject') return { reject: new Told('rejected as told') };
    return next === 'throw' ? { throw: new Told('thrown as told') } : next;
  };
  const fake = fakePool(
    script,
    {
      poolSize,
      acquireTimeoutMs: 5 * LIMIT_MS,
      operationTimeoutMs: LIMIT_MS,
      statementTimeoutMs: LIMIT_MS,
      closeTimeoutMs: LIMIT_MS,
      validateAfterIdleMs: 100,
      idleTimeoutMs: 4 * LIMIT_MS,
    },
    { without: abilities ? [] : ['interrupt', 'inTransaction'] },
  );
  const crowd = new Crowd(fake);
  for (const next of steps) {
    await apply(crowd, next);
    if (!next.tick) continue;
    await fake.clock.settle();
    crowd.check(poolSize);
  }
  calm = true;
  await crowd.finish(poolSize);
}

async function apply(crowd: Crowd, next: PoolStep): Promise<void> {
  const { pool, clock } = crowd.fake;
  if ('timeoutMs' in next) crowd.start(next.do, next.timeoutMs);
  else if ('which' in next) crowd.end(next.do, next.which);
  else if (next.do === 'advance') await clock.advance(next.ms);
  else if (next.do === 'jump') clock.jump(next.ms);
  else if (next.do === 'evict') pool.evict();
  else void pool.close();
}

/** The callers that use a pool at the same time, and what must hold for all of them. */
class Crowd {
  readonly fake: FakePool;
  readonly #uses: Promise<unknown>[] = [];
  readonly #controllers: AbortController[] = [];
  /** The tags of those that are over, with how many statements they had made by then. */
  readonly #over = new Map<string, number>();
  readonly #ends = new Map<string, { readonly use: Use; readonly end: 'done' | 'not done' | 'unknown' }>();
  #failure: Error | undefined;

  constructor(fake: FakePool) {
    this.fake = fake;
  }

  start(use: Use, timeoutMs: number): void {
    const controller = new AbortController();
    const tag = `t${String(this.#uses.length)}_`;
    const over = (): void => void this.#over.set(tag, this.#statementsOf(tag));
    this.#controllers.push(controller);
    const limits = { timeoutMs, signal: controller.signal };
    // A caller of the pool gets an error of the pool, what they threw themselves, or the reason they gave.
    const end = USES[use]({ ...this.fake, tag, limits, over }).then(
      () => this.#ends.set(tag, { use, end: 'done' }),
      (error: unknown) => {
        this.#ends.set(tag, { use, end: error instanceof OutcomeUnknownError ? 'unknown' : 'not done' });
        const known = error instanceof SqlitePoolError || error instanceof Told || error === ABORTED;
        if (!known) this.#failure ??= new Error(`${use} rejected with ${String(error)}`, { cause: error });
      },
    );
    this.#uses.push(end);
  }

  end(how: OnOne, which: number): void {
    if (how === 'abort') {
      this.#controllers[this.#controllers.length - 1 - which]?.abort(ABORTED);
      return;
    }
    const hanging = this.#hanging();
    const call = hanging[which % Math.max(1, hanging.length)];
    if (how === 'resolve') call?.resolve();
    else call?.reject(new Told('rejected late'));
  }

  check(poolSize: number): void {
    const { pool, driver } = this.fake;
    const stats = pool.stats();
    const { size, idle, leased, opening, validating, closing, quarantined, waiting } = stats;
    if (this.#failure !== undefined) throw this.#failure;
    assert.deepEqual(driver.violations, []);
    assert.ok(size <= poolSize && idle + leased + opening + validating + closing <= poolSize, 'too many');
    if (waiting > opening + validating) assert.equal(size, poolSize, 'someone waits without need');
    if (pool.closed) assert.equal(waiting, 0, 'someone waits for a pool that is closing');
    assert.ok(
      driver.openTransactions <= leased + closing + quarantined + validating,
      'an idle connection has a transaction open',
    );
    for (const [tag, before] of this.#over) {
      assert.equal(this.#statementsOf(tag), before, `${tag} reached the driver after its lease had ended`);
    }
  }

  /** Ends what hangs, and finds out whether the pool is as good as new. */
  async finish(poolSize: number): Promise<void> {
    const { pool, driver, clock } = this.fake;
    await settled(clock, Promise.all(this.#uses), FOREVER_MS, 'what someone did with the pool');
    this.check(poolSize);
    for (let left = this.#hanging(); left.length > 0; left = this.#hanging()) {
      for (const call of left) call.resolve();
      await clock.advance(LIMIT_MS);
    }
    this.check(poolSize);
    this.#checkCommitted();
    const { quarantined, writerHeld, writersWaiting } = pool.stats();
    assert.deepEqual([quarantined, writerHeld, writersWaiting], [0, false, 0]);
    if (!pool.closed) {
      await checkCapacity(this.fake, poolSize, FOREVER_MS);
      await settled(
        clock,
        pool.transaction((tx) => tx.run('DELETE FROM t')),
        FOREVER_MS,
        'a transaction',
      );
    }
    await settled(clock, pool.close(), FOREVER_MS, 'close()');
    assert.deepEqual([driver.openConnections, clock.pending, pool.stats().size], [0, 0, 0]);
    assert.deepEqual(driver.violations, []);
  }

  /** What was acknowledged is committed, and what was rejected is not, unless it says that nobody knows. */
  #checkCommitted(): void {
    const { calls } = this.fake.driver;
    const committed = new Set([...committedBy(calls)].map((sql) => /t\d+_/.exec(sql)?.[0]));
    for (const [tag, { use, end }] of this.#ends) {
      if (end === 'unknown' || !ALL_OR_NOTHING.has(use)) continue;
      const expected = end === 'done' && use !== 'lease with a forgotten transaction';
      assert.equal(committed.has(tag), expected, `${use} ${tag}: committed`);
    }
  }

  #hanging(): FakeCall[] {
    return this.fake.driver.calls.filter(({ settled: over }) => !over);
  }

  #statementsOf(tag: string): number {
    return this.fake.driver.calls.filter(({ sql }) => sql.includes(tag)).length;
  }
}

/** The INSERTs that a database would keep, from the calls that succeeded, in order on each connection. */
function* committedBy(calls: readonly FakeCall[]): Generator<string, void, undefined> {
  /** What is not committed yet: by connection, the statements, and where each savepoint began. */
  const open = new Map<number, { sql: string[]; savepoints: number[] }>();
  const last = new Map<number, FakeCall>();
  for (const call of calls) {
    const { method, connection, sql, succeeded } = call;
    const tx = open.get(connection);
    if (method === 'close' || (method === 'rollback' && succeeded)) open.delete(connection);
    if (method === 'interrupt' && losesTransaction(last.get(connection), call)) open.delete(connection);
    if (method !== 'interrupt') last.set(connection, call);
    if (!succeeded || method !== 'execute') continue;
    if (sql.startsWith('BEGIN')) open.set(connection, { sql: [], savepoints: [] });
    else if (sql.startsWith('SAVEPOINT')) tx?.savepoints.push(tx.sql.length);
    else if (sql.startsWith('ROLLBACK TO')) tx?.sql.splice(tx.savepoints.at(-1) ?? 0);
    else if (sql.startsWith('RELEASE')) tx?.savepoints.pop();
    else if (sql === 'COMMIT') {
      yield* tx?.sql ?? [];
      open.delete(connection);
    } else if (sql.startsWith('INSERT') && tx !== undefined) tx.sql.push(sql);
    else if (sql.startsWith('INSERT')) yield sql;
  }
}

/** An interrupted write takes its transaction with it. */
function losesTransaction(running: FakeCall | undefined, interrupt: FakeCall): boolean {
  if (running?.outcome !== 'interruptible' || running.succeeded) return false;
  // It returns nothing, so all that it can do is to interrupt, and to throw.
  const throws = typeof interrupt.outcome === 'object' && 'throw' in interrupt.outcome;
  return running.sql.startsWith('INSERT') && !throws;
}

/** Those that write once, or in one transaction. */
const ALL_OR_NOTHING: ReadonlySet<Use> = new Set([
  'run',
  'lease that goes on after a failed transaction',
  'transaction',
  'failing transaction',
  'nested transaction',
  'lease with a transaction',
  'lease with a forgotten transaction',
]);

const ABORTED = new Error('aborted');
