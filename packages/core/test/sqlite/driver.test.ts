import { AsyncLocalStorage } from 'node:async_hooks';
import sqliteModule from 'sqlite3';
import { expect, test, vi } from 'vitest';
import { RECOMMENDED_PRAGMAS, type Connection, type SqlitePool, type Value } from '../../src/index.ts';
import { sqlite3 } from '../../src/drivers/sqlite3/sqlite3.ts';
import { StatementCache } from '../../src/drivers/statement-cache.ts';
import { failure, fileWithTable, poolOf, poolWithTable, temporaryFile } from './helpers.ts';

interface Raw {
  emit(event: 'error', error: Error): void;
  prepare(sql: string): RawStatement;
}

interface RawStatement {
  get(done: (error: Error | null, row: unknown) => void): void;
  finalize(done: () => void): void;
}

/** An open connection of the driver, on a file of its own. */
async function connectionTo(filename: string, statementCacheSize?: number): Promise<Connection> {
  return await sqlite3({ filename, statementCacheSize }).open();
}

test('F45 a stray error event during a lease does not end the process, and its connection is closed after the lease', async () => {
  const raws: Raw[] = [];
  const filename = await temporaryFile();
  const pool = poolOf({
    filename,
    poolSize: 1,
    onConnect: (connection) => void raws.push(connection.raw as Raw),
  });
  await pool.connection(() => {
    raws[0]?.emit('error', new Error('stray'));
  });
  await pool.get('SELECT 1');
  expect(raws).toHaveLength(2);
});

test.for([0, 60_000])(
  'F45 an idle connection with a stray error event is not leased again, checked after %i ms or not',
  async (validateAfterIdleMs) => {
    const raws: Raw[] = [];
    const filename = await temporaryFile();
    const pool = poolOf({
      filename,
      poolSize: 1,
      validateAfterIdleMs,
      onConnect: (connection) => void raws.push(connection.raw as Raw),
    });
    await pool.get('SELECT 1');
    raws[0]?.emit('error', new Error('stray'));
    await pool.get('SELECT 1');
    await pool.get('SELECT 1');
    expect(raws).toHaveLength(2);
    expect(pool.stats()).toMatchObject({ size: 1, evictions: { invalid: 1, dirty: 0 } });
  },
);

test('F45 a stray error event of a statement does not end the process either, and its connection is not leased again', async () => {
  const pool = poolOf({ filename: await temporaryFile(), poolSize: 1 });
  const prepared = vi.spyOn(sqliteModule.Database.prototype, 'prepare');
  await pool.get('SELECT 1');
  const statement = prepared.mock.results.at(-1)?.value as Pick<Raw, 'emit'>;
  statement.emit('error', new Error('stray'));
  expect(await pool.get('SELECT 2 AS two')).toEqual({ two: 2 });
  expect(pool.stats()).toMatchObject({ opens: 2, evictions: { invalid: 1 } });
});

test('F46 statements that a user prepared on the raw handle and forgot do not keep the connection open', async () => {
  const { pool, filename } = await fileWithTable({ poolSize: 1 });
  await pool.run('INSERT INTO t (v) VALUES (1)');
  const warned = vi.spyOn(process, 'emitWarning');
  await pool.connection(async (lease) => {
    const raw = lease.raw() as Raw;
    const unfinished = raw.prepare('SELECT * FROM t');
    await new Promise((done) => {
      unfinished.get(done);
    });
    expect(lease.raw()).toBe(raw);
    const finished = raw.prepare('SELECT 1');
    await new Promise<void>((done) => {
      finished.finalize(done);
    });
  });
  // A read that was never finished would keep the WAL from being reset by others.
  const other = poolOf({ filename });
  await other.run('INSERT INTO t (v) VALUES (2)');
  expect(await other.get('PRAGMA wal_checkpoint(TRUNCATE)')).toMatchObject({ busy: 0, log: 0 });
  expect(pool.stats()).toMatchObject({ size: 0, evictions: { dirty: 1 } });
  expect(warned).not.toHaveBeenCalled();
});

test('F46 a connection that cannot be closed is reported', async () => {
  const connection = await connectionTo(await temporaryFile());
  const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  const raw = connection.raw as {
    backup(file: string): { step(n: number, done: () => void): void; finish(done: () => void): void };
  };
  const backup = raw.backup(await temporaryFile());
  await new Promise<void>((done) => {
    backup.step(0, done);
  });
  expect(await failure(connection.close())).toMatchObject({ errno: 5 });
  expect(warned).toHaveBeenCalledWith(
    expect.stringContaining('could not be closed'),
    expect.objectContaining({ code: 'SQLITE_POOL_LEAK' }),
  );
  await new Promise<void>((done) => {
    backup.finish(done);
  });
  await connection.close();
});

test('a failed statement does not keep a later COMMIT from succeeding', async () => {
  const { pool, filename } = await fileWithTable({ pragmas: { busy_timeout: 0 } });
  const other = poolOf({ driver: sqlite3({ filename }) });
  const connection = await connectionTo(filename);
  await connection.script?.('PRAGMA busy_timeout = 0');
  await other.transaction(async (tx) => {
    await tx.run('INSERT INTO t (v) VALUES (1)');
    expect(await failure(connection.execute('INSERT INTO t (v) VALUES (2)'))).toMatchObject({ errno: 5 });
    expect(await failure(connection.execute('INSERT INTO t (v) VALUES (2) RETURNING v'))).toMatchObject({
      errno: 5,
    });
  });
  await connection.script?.('BEGIN');
  await connection.execute('INSERT INTO t (v) VALUES (3)');
  await connection.script?.('COMMIT');
  await connection.close();
  expect(await pool.all('SELECT v FROM t')).toEqual([{ v: 1 }, { v: 3 }]);
});

test('the statement cache is bounded in number and text, and a statement that left it works as before', async () => {
  const filename = await temporaryFile();
  const connection = await connectionTo(filename, 3);
  for (let round = 0; round < 3; round += 1) {
    for (let n = 0; n < 10; n += 1) {
      const { rows } = await connection.execute(`SELECT ${String(n)} AS n`);
      expect(rows).toEqual([{ n }]);
    }
    const long = 'x'.repeat(100_000);
    expect((await connection.execute(`SELECT length('${long}') AS n`)).rows).toEqual([{ n: 100_000 }]);
  }
  await connection.close();
});

test('the statement cache keeps the newest, and finalizes each statement it lets go, once', () => {
  const finalized: string[] = [];
  const cache = new StatementCache<string>(2, (statement) => finalized.push(statement));
  for (const sql of ['a', 'b', 'a']) cache.give(sql, cache.take(sql) ?? sql);
  cache.give('c', 'c');
  expect(finalized).toEqual(['b']);
  expect(cache.take('b')).toBeUndefined();
  // One that is in use is out of the cache, and a second one of the same text is not kept.
  expect(cache.take('a')).toBe('a');
  cache.give('a', 'a');
  cache.give('a', 'another');
  expect(finalized).toEqual(['b', 'another']);
  cache.clear();
  expect(finalized.toSorted()).toEqual(['a', 'another', 'b', 'c']);
  expect(cache.take('a')).toBeUndefined();
});

test('the statement cache keeps nothing that was dropped, and has a place for its text again', () => {
  const finalized: string[] = [];
  const cache = new StatementCache<string>(2, (statement) => finalized.push(statement));
  cache.give('a', 'first');
  expect(cache.take('a')).toBe('first');
  cache.drop('a', 'first');
  cache.drop('b', 'never kept');
  expect(finalized).toEqual(['first', 'never kept']);
  cache.give('a', 'second');
  expect([cache.take('a'), cache.take('a')]).toEqual(['second', undefined]);
  expect(finalized).toEqual(['first', 'never kept']);
});

test('a statement in use is not dropped to make room for others', () => {
  const finalized: string[] = [];
  const cache = new StatementCache<string>(1, (statement) => finalized.push(statement));
  cache.give('a', 'a');
  cache.take('a');
  cache.give('b', 'b');
  expect(finalized).toEqual(['b']);
  cache.give('a', 'a');
  expect(cache.take('a')).toBe('a');
});

test('the statement cache is bounded by the length of its texts too', () => {
  let kept = 0;
  const cache = new StatementCache<number>(1000, (length) => (kept -= length));
  for (let n = 0; n < 100; n += 1) {
    const sql = `${String(n)}${'x'.repeat(50_000)}`;
    kept += sql.length;
    cache.give(sql, sql.length);
    expect(kept).toBeLessThanOrEqual(1_048_576);
  }
  expect(kept).toBeGreaterThan(900_000);
});

test('a statement that was given more than 64 KiB is not kept, because it would keep them too', async () => {
  const prepared = vi.spyOn(sqliteModule.Database.prototype, 'prepare');
  const connection = await connectionTo(await temporaryFile());
  const half = 'x'.repeat(32_768);
  const timesPrepared = async (params: Value[], sql: string): Promise<number> => {
    prepared.mockClear();
    for (let round = 0; round < 3; round += 1) {
      const { rows } = await connection.execute(sql, params);
      expect(rows[0]).toEqual({ n: 65_536 });
    }
    return prepared.mock.calls.filter(([text]) => text === sql).length;
  };
  const LENGTH = 'SELECT length(?) + length(?) AS n';
  expect(await timesPrepared([half, half], LENGTH)).toBe(1);
  expect(await timesPrepared([half, new Uint8Array(32_768)], `${LENGTH} -- bytes`)).toBe(1);
  const more = 'SELECT length(?) + length(?) - 1 AS n';
  expect(await timesPrepared([half, `${half}x`], more)).toBe(3);
  expect(await timesPrepared([new Uint8Array(32_769), half], `${more} -- bytes`)).toBe(3);
  await connection.execute('CREATE TABLE t (v)');
  prepared.mockClear();
  for (const run of [1, 2]) {
    const hint = { rowMode: 'object', readonly: false, returnsRows: false, effect: 'insert' } as const;
    const done = await connection.execute('INSERT INTO t VALUES (?)', [new Uint8Array(65_537)], hint);
    expect(done).toMatchObject({ changes: 1, lastInsertRowid: run });
  }
  expect(prepared).toHaveBeenCalledTimes(2);
  await connection.close();
});

test('a rollback without a transaction is none, and one that fails for another reason rejects', async () => {
  const connection = await connectionTo(await temporaryFile());
  await connection.rollback();
  await connection.script?.('BEGIN');
  await connection.rollback();
  await connection.rollback();
  await connection.close();
  expect(await failure(connection.rollback())).toMatchObject({
    message: expect.stringContaining('closed') as unknown,
  });
});

test.for([0, 256])(
  'a cached statement sees a changed schema and never an earlier parameter (cache of %i)',
  async (statementCacheSize) => {
    const pool = await poolWithTable({ statementCacheSize });
    await pool.run('INSERT INTO t (v) VALUES (?)', ['a']);
    expect(await pool.all('SELECT * FROM t')).toEqual([{ id: 1, v: 'a' }]);
    await pool.script('ALTER TABLE t ADD COLUMN w DEFAULT 7');
    expect(await pool.all('SELECT * FROM t')).toEqual([{ id: 1, v: 'a', w: 7 }]);
    await pool.run('INSERT INTO t (v) VALUES (?)', [null]);
    expect(await pool.get('SELECT v FROM t WHERE id = ?', [2])).toEqual({ v: null });
  },
);

test('a script that fails midway keeps what it did before, outside a transaction, and names its error', async () => {
  const pool = await poolWithTable();
  const error = await failure(
    pool.script('INSERT INTO t (v) VALUES (1); INSERT INTO nothing VALUES (1); INSERT INTO t (v) VALUES (2)'),
  );
  expect(error).toMatchObject({ sqliteCode: 'SQLITE_ERROR' });
  expect(await pool.all('SELECT v FROM t')).toEqual([{ v: 1 }]);
});

test('calls of different requests keep their own AsyncLocalStorage context, also when they wait for a connection', async () => {
  const pool = await poolWithTable({ poolSize: 1 });
  const storage = new AsyncLocalStorage<number>();
  const seen = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      storage.run(n, async () => {
        await pool.get('SELECT 1');
        const afterGet = storage.getStore();
        await pool.transaction(async (tx) => {
          await tx.run('INSERT INTO t (v) VALUES (?)', [storage.getStore() ?? -1]);
        });
        for await (const _row of pool.iterate('SELECT 1')) expect(storage.getStore()).toBe(n);
        return [afterGet, storage.getStore()];
      }),
    ),
  );
  expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => [n, n]));
  expect(
    (await pool.all<{ v: number }>('SELECT v FROM t')).map(({ v }) => v).toSorted((a, b) => a - b),
  ).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

test('F83 results share no array: what one caller does with its columns no other sees', async () => {
  const pool = await poolWithTable();
  const results = [
    await pool.execute('INSERT INTO t (v) VALUES (1)'),
    await pool.execute('SELECT * FROM t WHERE v = 2'),
    await pool.execute('SELECT * FROM t WHERE v = 2', [], { rowMode: 'array' }),
    await pool.execute('DELETE FROM t WHERE v = 2'),
    ...(await pool.batch(['DELETE FROM t WHERE v = 2', 'DELETE FROM t WHERE v = 3'])),
    ...(await Promise.all([1, 2, 3].map((v) => pool.execute('INSERT INTO t (v) VALUES (?)', [v])))),
  ];
  for (const { columns, rows } of results) {
    (columns as string[]).push('<script>');
    (rows as unknown[]).push({});
  }
  for (const { columns, rows } of results) {
    expect(columns.filter((name) => name === '<script>')).toHaveLength(1);
    expect(rows).toHaveLength(1);
  }
  expect((await pool.execute('SELECT * FROM t WHERE v = 4')).columns).toEqual([]);
});

test('F83 the recommended PRAGMAs are the same for all pools, and nobody changes them', () => {
  expect(() => {
    (RECOMMENDED_PRAGMAS as Record<string, unknown>)['foreign_keys'] = false;
  }).toThrow(TypeError);
});

test('F84 a script leaves the busy timeout as somebody has set it, and the pool has its own back', async () => {
  const timeoutOf = async (pool: SqlitePool): Promise<unknown> =>
    (await pool.get<{ timeout: number }>('PRAGMA busy_timeout'))?.timeout;
  const filename = await temporaryFile();
  const own = poolOf({ filename, poolSize: 1 });
  const others = [
    poolOf({ filename, poolSize: 1, pragmas: { busy_timeout: 20 } }),
    poolOf({
      filename,
      poolSize: 1,
      onConnect: async (connection) => {
        await connection.execute('PRAGMA busy_timeout = 1234');
      },
    }),
  ];
  const configured = vi.spyOn(sqliteModule.Database.prototype, 'configure');
  const timeoutsSet = (): unknown[][] =>
    (configured.mock.calls as unknown[][]).filter(([option]) => option === 'busyTimeout');
  await own.script('CREATE TABLE t (v)');
  expect(timeoutsSet()).toEqual([
    ['busyTimeout', 5000],
    ['busyTimeout', 20],
  ]);
  expect(await timeoutOf(own)).toBe(20);
  configured.mockClear();
  for (const pool of others) await pool.script('INSERT INTO t VALUES (1)');
  expect(timeoutsSet()).toEqual([]);
  expect(await Promise.all(others.map(timeoutOf))).toEqual([20, 1234]);
});

test('the busy timeout is that of the driver, also where the recommended PRAGMAs are written out', async () => {
  const pool = poolOf({ filename: await temporaryFile(), poolSize: 1, pragmas: { ...RECOMMENDED_PRAGMAS } });
  expect(await pool.get('PRAGMA busy_timeout')).toEqual({ timeout: 20 });
});

test('F94 nothing warns of a connection that stays open when its user has closed it', async () => {
  const warned = vi.spyOn(process, 'emitWarning');
  const connection = await connectionTo(await temporaryFile(), 0);
  const raw = connection.raw as { close(done: (error: Error | null) => void): void };
  expect(await new Promise((done) => raw.close(done))).toBeNull();
  await connection.close();
  expect(warned).not.toHaveBeenCalled();
});
