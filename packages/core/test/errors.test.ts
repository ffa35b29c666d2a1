import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sqliteModule from 'sqlite3';
import { expect, onTestFinished, test } from 'vitest';
import { fromDriver } from '../src/driver-errors.ts';
import { nodeSqlite } from '../src/drivers/worker/node-sqlite.ts';
import * as errors from '../src/errors.ts';
import { createPool, type PoolOptions, type SqlitePool } from '../src/index.ts';
import { sqlite3 } from '../src/drivers/sqlite3/sqlite3.ts';

const { RetryableError, SqliteError, SqlitePoolError } = errors;

/** In every path, name and value of these tests: no error may show it. */
const SECRET = 'hush';

async function secretFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `${SECRET}-`));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return join(directory, `${SECRET}.db`);
}

async function poolOf(options: Partial<PoolOptions> = {}): Promise<SqlitePool> {
  const source =
    'driver' in options || 'connectionFactory' in options ? {} : { filename: await secretFile() };
  const pool = createPool({ closeTimeoutMs: 100, ...source, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => 'resolved',
    (error: unknown) => ({ error }),
  );
  if (typeof outcome === 'string') throw new Error('It was expected to reject.');
  return outcome.error;
}

const UNIQUE = `CREATE TABLE ${SECRET} (id INTEGER PRIMARY KEY); INSERT INTO ${SECRET} VALUES (1)`;

/** What rejects when the thread of a connection ends in the middle of a script. */
async function lostIn(script: string): Promise<unknown> {
  const setup = new URL('./drivers/worker/children/setup.ts', import.meta.url);
  const pool = await poolOf({ driver: nodeSqlite({ filename: await secretFile(), setup }) });
  return rejection(pool.script(script));
}

/** How each code comes about. The compiler sees to it that none is missing. */
const WAYS: Record<errors.ErrorCode, () => Promise<unknown>> = {
  INVALID_ARGUMENT: async () =>
    rejection((await poolOf()).get(`SELECT '${SECRET}', ?`, [Symbol(SECRET) as never])),
  NAME_TAKEN: () => Promise.resolve(new errors.NameTakenError('request.audit', new Error(SECRET))),
  DRIVER_MISSING: async () => {
    const cause = new Error(`Cannot find package ${SECRET}`);
    const driver = {
      name: 'none',
      open: () => Promise.reject(new errors.DriverMissingError('It is missing.', cause)),
    };
    return rejection((await poolOf({ driver })).open());
  },
  DRIVER_CONFLICT: async () => {
    const filename = await secretFile();
    await (await poolOf({ driver: sqlite3({ filename }) })).open();
    return rejection((await poolOf({ driver: { ...sqlite3({ filename }), name: 'another' } })).open());
  },
  CONNECTION_LOST: () => lostIn('SELECT leave()'),
  UNSUPPORTED: async () => {
    const connection = {
      execute: () => Promise.resolve({ rows: [], columns: [], changes: 0, lastInsertRowid: 0 }),
      rollback: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    return rejection((await poolOf({ connectionFactory: () => connection })).script(`SELECT '${SECRET}'`));
  },
  OPEN_FAILED: async () => {
    const filename = join(await secretFile(), 'missing', 'app.db');
    return rejection((await poolOf({ driver: sqlite3({ filename }) })).open());
  },
  POOL_CLOSED: async () => {
    const pool = await poolOf();
    await pool.close();
    return rejection(pool.get(`SELECT '${SECRET}'`));
  },
  POOL_OVERLOADED: async () => {
    const pool = await poolOf({ poolSize: 1, maxWaiting: 0 });
    // A pool with no room to wait leases only what is there.
    const held = await pool.open().then(() => pool.acquire());
    const error = await rejection(pool.get(`SELECT '${SECRET}'`));
    await held.release();
    return error;
  },
  ACQUIRE_TIMEOUT: async () => {
    const pool = await poolOf({ poolSize: 1, acquireTimeoutMs: 20, leakWarningMs: 60_000 });
    const held = await pool.acquire({ timeoutMs: 5000 });
    const error = await rejection(pool.get(`SELECT '${SECRET}'`));
    await held.release();
    return error;
  },
  OPERATION_TIMEOUT: async () => {
    const never = new Promise<never>(() => undefined);
    return rejection((await poolOf({ connectionFactory: () => never, operationTimeoutMs: 20 })).open());
  },
  UNHEALTHY: async () => {
    const filename = await secretFile();
    const pool = await poolOf({ filename });
    await pool.open();
    await rm(filename);
    return rejection(pool.health());
  },
  STATEMENT_TIMEOUT: async () => {
    const endless = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS ${SECRET} FROM n`;
    return rejection((await poolOf()).get(endless, [], { timeoutMs: 20 }));
  },
  OUTCOME_UNKNOWN: async () => {
    const connection = {
      execute: () => Promise.reject(new Error(`INSERT INTO ${SECRET}: The server has gone away.`)),
      rollback: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const pool = await poolOf({ connectionFactory: () => connection });
    return rejection(pool.run(`INSERT INTO ${SECRET} VALUES (1)`));
  },
  LEASE_ENDED: async () => {
    const lease = await (await poolOf()).acquire();
    await lease.release();
    return rejection(lease.get(`SELECT '${SECRET}'`));
  },
  TRANSACTION_ACTIVE: async () => {
    await using lease = await (await poolOf()).acquire();
    return await rejection(lease.transaction(() => lease.get(`SELECT '${SECRET}'`)));
  },
  TRANSACTION_LOST: async () => {
    const pool = await poolOf();
    await pool.script(UNIQUE);
    const insert = `INSERT OR ROLLBACK INTO ${SECRET} VALUES (1)`;
    return rejection(
      pool.transaction(async (tx) => {
        await tx.run(insert).catch(() => undefined);
        await tx.run(insert);
      }),
    );
  },
  SQLITE_ERROR: async () => rejection((await poolOf()).get(`SELECT * FROM ${SECRET}`)),
  SQLITE_BUSY: async () => {
    const filename = await secretFile();
    // With the SQLite of `other`: two copies in one process do not see each other's locks.
    const pool = await poolOf({ driver: sqlite3({ filename }), acquireTimeoutMs: 1000 });
    await pool.script(UNIQUE);
    const other = await new Promise<sqliteModule.Database>((done, fail) => {
      const database = new sqliteModule.Database(filename, (error) => {
        if (error === null) done(database);
        else fail(error);
      });
    });
    await new Promise((done) => other.exec('BEGIN IMMEDIATE', done));
    const error = await rejection(pool.run(`INSERT INTO ${SECRET} VALUES (2)`));
    await new Promise((done) => {
      other.close(done);
    });
    return error;
  },
};

const CODES = Object.keys(WAYS) as errors.ErrorCode[];
const RETRYABLE: readonly errors.ErrorCode[] = [
  'CONNECTION_LOST',
  'POOL_CLOSED',
  'POOL_OVERLOADED',
  'ACQUIRE_TIMEOUT',
  'UNHEALTHY',
  'STATEMENT_TIMEOUT',
  'SQLITE_BUSY',
];

/** Some of them take a second. */
const provoked = new Map<errors.ErrorCode, Promise<unknown>>();

async function provoke(code: errors.ErrorCode): Promise<errors.SqlitePoolError> {
  const once = provoked.get(code) ?? WAYS[code]();
  provoked.set(code, once);
  const error = await once;
  expect(error).toBeInstanceOf(SqlitePoolError);
  expect(error).toMatchObject({ code });
  return error as errors.SqlitePoolError;
}

test.for(CODES)('%s shows no SQL, no value and no path, and keeps its cause to itself', async (code) => {
  const error = await provoke(code);
  expect(error.name).toMatch(/Error$/);
  expect(error.message).toMatch(/^[A-Z].*[.)]$/s);
  for (const shown of [error.message, String(error), JSON.stringify(error)]) {
    expect(shown).not.toContain(SECRET);
  }
  expect(Object.keys(error)).not.toContain('cause');
  expect(Object.keys(error)).not.toContain('stack');
});

test.for(CODES)(
  '%s is answered with 503 if trying again can help, and has no status otherwise',
  async (code) => {
    const error = await provoke(code);
    const retryable = RETRYABLE.includes(code);
    expect(error instanceof RetryableError).toBe(retryable);
    expect('statusCode' in error || 'status' in error || 'getResponse' in error).toBe(retryable);
    if (!(error instanceof RetryableError)) return;
    expect(error).toMatchObject({ statusCode: 503, status: 503, headers: { 'Retry-After': '1' } });
    const response = error.getResponse();
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.text()).toBe('Service Unavailable');
  },
);

test('an open that cannot reach its server is answered with 503, and no other', () => {
  const error = new errors.OpenError('unreachable', 'The server cannot be reached.');
  expect(error).toMatchObject({ statusCode: 503, status: 503, headers: { 'Retry-After': '1' } });
  expect(error.getResponse?.().status).toBe(503);
  expect(new errors.OpenError('missing-file', 'It is gone.')).not.toHaveProperty('statusCode');
});

test.for(['none', 'undone', 'unknown'] as const)('a lost connection says what is left: %s', (outcome) => {
  expect(new errors.ConnectionLostError(undefined, outcome)).toMatchObject({ outcome, statusCode: 503 });
});

test('docs/errors.md has a heading for every code and no other, with its class and status', async () => {
  const text = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const sections = text.split(/^## (?=[A-Z_]+$)/m).slice(1);
  expect(sections.map((section) => section.split('\n')[0]).sort()).toEqual([...CODES].sort());
  for (const code of CODES) {
    const section = sections.find((text) => text.startsWith(`${code}\n`));
    const status = RETRYABLE.includes(code) ? '503' : '500';
    expect(section).toContain(`\n\n\`${(await provoke(code)).name}\`, ${status}`);
  }
});

test('every error class of the package belongs to a code', async () => {
  const names = await Promise.all(CODES.map(async (code) => (await provoke(code)).name));
  const classes = Object.values(errors).filter(
    (value) => value.prototype instanceof SqlitePoolError && value !== RetryableError,
  );
  expect(classes.map(({ name }) => name).sort()).toEqual(names.sort());
});

test('what the driver said is the cause', async () => {
  const error = await provoke('SQLITE_ERROR');
  expect(error.cause).toMatchObject({
    message: expect.stringContaining(`no such table: ${SECRET}`) as string,
  });
  expect(error).toMatchObject({ sqliteCode: 'SQLITE_ERROR', errno: 1 });
});

test('an acquire that timed out tells the phase, the counts and who holds the connections', async () => {
  const error = await provoke('ACQUIRE_TIMEOUT');
  if (!(error instanceof errors.AcquireTimeoutError)) throw error;
  expect(error.message).toBe(
    'The acquire took longer than 20 ms: every connection was in use (leased 1, idle 0, opening 0 of 1; waiting 1).',
  );
  expect(error).toMatchObject({
    phase: 'wait',
    counts: { poolSize: 1, leased: 1, idle: 0, opening: 0, waiting: 1 },
  });
  expect(error.holders).toHaveLength(1);
  expect(error.holders[0]).toContain('errors.test');
  expect(Object.keys(error)).not.toContain('holders');
});

test.for([
  [{ errno: 2067 }, 'SQLITE_CONSTRAINT_UNIQUE', 2067],
  [{ errcode: 787 }, 'SQLITE_CONSTRAINT_FOREIGNKEY', 787],
  [{ code: 'SQLITE_FULL' }, 'SQLITE_FULL', 13],
  [{ code: 11 }, 'SQLITE_CORRUPT', 11],
  [{ errno: 3850 }, 'SQLITE_IOERR', 3850],
  [{ errno: -13, code: 'EACCES' }, 'UNKNOWN', -1],
  [{ code: 'SQLITE_IOERR_SHORT_READ' }, 'SQLITE_IOERR', 10],
  [{ code: 'SQLITE_ERROR' }, 'SQLITE_ERROR', 1],
  [{ code: 'SQLITES' }, 'UNKNOWN', -1],
  [{ errno: -251 }, 'UNKNOWN', -1],
  [{ errno: 5.5 }, 'UNKNOWN', -1],
  [new Error('no code'), 'UNKNOWN', -1],
  ['a string', 'UNKNOWN', -1],
  [null, 'UNKNOWN', -1],
  [undefined, 'UNKNOWN', -1],
] as const)('whatever a driver throws becomes a typed error: %o', ([thrown, sqliteCode, errno]) => {
  const error = fromDriver(thrown);
  expect(error).toBeInstanceOf(SqliteError);
  expect(error).toMatchObject({ code: 'SQLITE_ERROR', sqliteCode, errno });
  expect(error.cause).toBe(thrown);
});

test.for([5, 261, 262, 517, 773])('F37 result code %i means that trying again can help', (errno) => {
  expect(fromDriver({ errno })).toMatchObject({ code: 'SQLITE_BUSY', errno, statusCode: 503 });
});

test('a table that the same connection has locked is no reason to try again', () => {
  expect(fromDriver({ errno: 6 })).toMatchObject({ code: 'SQLITE_ERROR', sqliteCode: 'SQLITE_LOCKED' });
});

test("the pool's own errors pass through as they are", () => {
  const error = new errors.PoolClosedError();
  expect(fromDriver(error)).toBe(error);
});
