import { expect, test } from 'vitest';
import type { Connection, Driver, Lease } from '../../src/index.ts';
import {
  driverOf,
  failure,
  fileWithTable,
  MANY,
  onSqlite3,
  poolOf,
  poolWithTable,
  valuesOf,
} from './helpers.ts';

test.for(['BEGIN', 'BEGIN IMMEDIATE', 'SAVEPOINT mine'])(
  'F21 a release inside %s rolls back, and the next user is in autocommit',
  async (begin) => {
    const pool = await poolWithTable({ poolSize: 1 });
    const lease = await pool.acquire();
    await lease.execute(begin);
    await lease.run('INSERT INTO t (v) VALUES (1)');
    await lease.release();
    await pool.run('INSERT INTO t (v) VALUES (2)');
    expect(await valuesOf(pool)).toEqual([2]);
    await pool.connection(async (next) => {
      await next.execute('BEGIN');
      await next.execute('COMMIT');
    });
    const evictions = { invalid: 0, dirty: 0, discarded: 0, replaced: 0 };
    expect(pool.stats()).toMatchObject({ opens: 1, writerHeld: false, evictions });
  },
);

test('F21 a release right behind an unawaited write inside a transaction leaves nothing of it', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const lease = await pool.acquire();
  const begun = lease.execute('BEGIN IMMEDIATE');
  const written = lease.run('INSERT INTO t (v) VALUES (1)');
  await lease.release();
  await Promise.all([begun, written]);
  expect(await valuesOf(pool)).toEqual([]);
  expect(pool.stats().writerHeld).toBe(false);
});

test('F30 a cursor that was left unfinished at release keeps no checkpoint waiting', async () => {
  const { pool } = await fileWithTable({ pragmas: { busy_timeout: 20 } });
  for (let n = 0; n < 5; n += 1) await pool.run('INSERT INTO t (v) VALUES (?)', [n]);
  const lease = await pool.acquire();
  const rows = lease.iterate(`SELECT * FROM t, ${MANY}`)[Symbol.asyncIterator]();
  await rows.next();
  await pool.run('INSERT INTO t (v) VALUES (5)');
  expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 1 });
  await lease.release();
  expect(await pool.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
  expect(await failure(rows.next())).toMatchObject({ code: 'LEASE_ENDED' });
});

test('F30 get() leaves no read behind that would show its connection an old state', async () => {
  const { pool, filename } = await fileWithTable({ poolSize: 1 });
  const other = poolOf({ filename });
  await other.script('INSERT INTO t (v) VALUES (1), (2), (3)');
  const lease = await pool.acquire();
  expect(await lease.get('SELECT v FROM t')).toEqual({ v: 1 });
  expect(await lease.get('SELECT v FROM t')).toEqual({ v: 1 });
  await other.run('INSERT INTO t (v) VALUES (4)');
  expect(await lease.get('SELECT count(*) AS n FROM t')).toEqual({ n: 4 });
  expect(await other.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0 });
  await lease.release();
});

const STATES: readonly {
  what: string;
  leave: (lease: Lease) => Promise<unknown>;
  look: string;
  clean: unknown;
}[] = [
  {
    what: 'a TEMP table that shadows a table',
    leave: (lease) => lease.run('CREATE TEMP TABLE t (mine)'),
    look: "SELECT count(*) AS n FROM pragma_table_info('t') WHERE name = 'mine'",
    clean: { n: 0 },
  },
  {
    what: 'a TEMP table by its schema',
    leave: (lease) => lease.run('CREATE TABLE temp.mine (x)'),
    look: 'SELECT count(*) AS n FROM sqlite_temp_schema',
    clean: { n: 0 },
  },
  {
    what: 'a TEMP view in a script',
    leave: (lease) => lease.script('SELECT 1; CREATE TEMPORARY VIEW mine AS SELECT 1'),
    look: 'SELECT count(*) AS n FROM sqlite_temp_schema',
    clean: { n: 0 },
  },
  {
    what: 'a TEMP trigger',
    leave: (lease) => lease.script('CREATE TEMP TRIGGER mine AFTER INSERT ON t BEGIN DELETE FROM t; END'),
    look: 'SELECT count(*) AS n FROM sqlite_temp_schema',
    clean: { n: 0 },
  },
  {
    what: 'an ATTACH',
    leave: (lease) => lease.run("ATTACH ':memory:' AS mine"),
    look: "SELECT count(*) AS n FROM pragma_database_list WHERE name = 'mine'",
    clean: { n: 0 },
  },
  {
    what: 'a PRAGMA',
    leave: (lease) => lease.run('PRAGMA foreign_keys = OFF'),
    look: 'PRAGMA foreign_keys',
    clean: { foreign_keys: 1 },
  },
  {
    what: 'a PRAGMA in the form of a call, inside a transaction',
    leave: (lease) => lease.transaction((tx) => tx.all('PRAGMA cache_size(17)')),
    look: 'PRAGMA cache_size',
    clean: { cache_size: -4096 },
  },
  {
    what: 'the raw handle, used for a PRAGMA',
    // On worker threads there is none: it is the driver's connection.
    leave: (lease) =>
      onSqlite3
        ? new Promise((done) => {
            (lease.raw() as { exec(sql: string, done: (error: unknown) => void): void }).exec(
              'PRAGMA query_only = ON',
              done,
            );
          })
        : (lease.raw() as Connection).execute('PRAGMA query_only = ON'),
    look: 'PRAGMA query_only',
    clean: { query_only: 0 },
  },
];

test.for(STATES)('F31 the next user sees nothing of $what', async ({ leave, look, clean }) => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.connection(leave);
  expect(await pool.get(look)).toEqual(clean);
  expect(pool.stats()).toMatchObject({ opens: 2, evictions: { dirty: 1 } });
});

test('F31 a single statement on the pool leaves nothing for the next either', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  await pool.run('PRAGMA foreign_keys = OFF');
  expect(await pool.get('PRAGMA foreign_keys')).toEqual({ foreign_keys: 1 });
  await pool.script('CREATE TEMP TABLE mine (x)');
  expect(await pool.get('SELECT count(*) AS n FROM sqlite_temp_schema')).toEqual({ n: 0 });
});

test('statements on the pool cost one native call each, and the lease of a clean user none beyond its own', async () => {
  const { filename } = await fileWithTable();
  const { driver, calls } = counting(driverOf({ filename }));
  const pool = poolOf({ driver, poolSize: 1 });
  await pool.open();
  const callsOf = async (use: () => Promise<unknown>): Promise<string[]> => {
    calls.length = 0;
    await use();
    return [...calls];
  };
  expect(await callsOf(() => pool.get('SELECT * FROM t WHERE id = ?', [1]))).toHaveLength(1);
  expect(await callsOf(() => pool.run('INSERT INTO t (v) VALUES (1)'))).toHaveLength(1);
  expect(await callsOf(() => pool.all('INSERT INTO t (v) VALUES (1) RETURNING id'))).toHaveLength(1);
  expect(await callsOf(() => pool.connection((lease) => lease.all('SELECT * FROM t')))).toHaveLength(1);
  expect(await callsOf(() => pool.transaction((tx) => tx.run('DELETE FROM t')))).toEqual([
    'BEGIN IMMEDIATE',
    'DELETE FROM t',
    'COMMIT',
  ]);
  const dirty = await callsOf(async () => {
    await using lease = await pool.acquire();
    await lease.execute('BEGIN');
  });
  expect(dirty).toEqual(['BEGIN', 'rollback']);
});

/** A driver that notes what is called on its connections. */
function counting(driver: Driver): { driver: Driver; calls: string[] } {
  const calls: string[] = [];
  const open = async (): Promise<Connection> => {
    const connection = await driver.open();
    return {
      execute: (sql, params, hint) => {
        calls.push(sql);
        return connection.execute(sql, params, hint);
      },
      rollback: () => {
        calls.push('rollback');
        return connection.rollback();
      },
      close: () => connection.close(),
      inTransaction: () => connection.inTransaction(),
    };
  };
  return { driver: { ...driver, open }, calls };
}
