import { chmod, cp, mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sqliteModule from 'sqlite3';
import { expect, test, vi } from 'vitest';
import { createPool, OpenError } from '../../src/index.ts';
import {
  Child,
  failure,
  fileWithTable,
  onSqlite3,
  poolOf,
  temporaryDirectory,
  temporaryFile,
  timed,
} from './helpers.ts';

test('F07 a connection whose PRAGMAs fail is closed, its error surfaces and its place is free again', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, poolSize: 1, pragmas: { journal_mode: 'WAL', encoding: 'nonsense' } });
  // `PRAGMA encoding` refuses what it does not know, unlike most others.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const error = await failure(pool.get('SELECT 1'));
    expect(error).toBeInstanceOf(OpenError);
    expect(error.cause).toMatchObject({ errno: 1 });
  }
  expect(pool.stats()).toMatchObject({ size: 0, openFailures: 3, opens: 0 });
  expect(await openFiles(filename)).toBe(0);
});

test('F07 a connection whose onConnect fails is closed and its place is free again', async () => {
  const filename = await temporaryFile();
  let fails = true;
  const pool = poolOf({
    filename,
    poolSize: 1,
    onConnect: async (connection) => {
      if (fails) await connection.execute('SELECT * FROM missing');
    },
  });
  expect(await failure(pool.get('SELECT 1'))).toMatchObject({
    code: 'OPEN_FAILED',
    cause: { errno: 1 },
  });
  expect(await openFiles(filename)).toBe(0);
  fails = false;
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

test('a PRAGMA may be off, on, a number or a word, and null leaves it to SQLite', async () => {
  const pragmas = {
    foreign_keys: false,
    cell_size_check: true,
    cache_size: 17,
    locking_mode: 'EXCLUSIVE',
    synchronous: null,
  };
  const pool = poolOf({ filename: await temporaryFile(), poolSize: 1, pragmas });
  const names = Object.keys(pragmas);
  const values = await Promise.all(
    names.map((name) => pool.execute(`PRAGMA ${name}`, [], { rowMode: 'array' })),
  );
  expect(values.map(({ rows }) => rows[0]?.[0])).toEqual([0, 1, 17, 'exclusive', 2]);
});

test('F08 a missing directory is a typed error at once, and the pool works as soon as it is there', async () => {
  const directory = join(await temporaryDirectory(), 'later');
  const pool = poolOf({ filename: join(directory, 'test.db') });
  const took = await timed(async () => {
    expect(await failure(pool.get('SELECT 1'))).toMatchObject({
      name: 'OpenError',
      reason: 'missing-directory',
    });
  });
  expect(took).toBeLessThan(2000);
  await mkdir(directory);
  expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
});

test('F08 a failed open fails every acquire that waits for it, and none of them hangs', async () => {
  const pool = poolOf({ filename: join(await temporaryDirectory(), 'no', 'test.db'), poolSize: 3 });
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => pool.get('SELECT 1')));
  for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { reason: 'missing-directory' } });
  expect(pool.stats()).toMatchObject({ size: 0, waiting: 0, leased: 0 });
});

test('F08 a directory in place of the file, and a file in place of the directory, have different reasons', async () => {
  const directory = await temporaryDirectory();
  await writeFile(join(directory, 'file'), '');
  const reasonOf = async (name: string): Promise<unknown> =>
    (await failure(poolOf({ filename: join(directory, name) }).open()))['reason'];
  expect(await reasonOf('.')).toBe('is-a-directory');
  expect(await reasonOf('file/test.db')).toBe('missing-directory');
});

test('F08 an unprivileged process learns whether it may not access or only not write', async () => {
  const directory = await temporaryDirectory();
  const file = async (name: string, journalMode: string, mode: number): Promise<string> => {
    const filename = join(directory, name);
    const pool = createPool({ filename, pragmas: { journal_mode: journalMode } });
    await pool.script('CREATE TABLE t (v)');
    await pool.close();
    await chmod(filename, mode);
    return filename;
  };
  await mkdir(join(directory, 'read-only'));
  const files = [
    await file('rollback.db', 'DELETE', 0o444),
    await file('none.db', 'WAL', 0o000),
    await file('read-only/wal.db', 'WAL', 0o666),
    await file('wal.db', 'WAL', 0o444),
    join(directory, 'read-only', 'new.db'),
  ];
  await chmod(join(directory, 'read-only'), 0o555);
  await chmod(directory, 0o777);

  const child = new Child('unprivileged.ts', files);
  expect(await child.next()).toEqual({ name: 'OpenError', reason: 'read-only' });
  expect(await child.next()).toEqual({ name: 'OpenError', reason: 'not-permitted' });
  expect(await child.next()).toEqual({ name: 'OpenError', reason: 'read-only' });
  // It can be read, so it opens; the write is refused by name.
  expect(await child.next()).toMatchObject({ name: 'SqliteError', reason: /^SQLITE_READONLY: / });
  expect(await child.next()).toEqual({ name: 'OpenError', reason: 'not-permitted' });
  expect(await child.exit).toBe(0);
  await chmod(join(directory, 'read-only'), 0o755);
});

test.for(['not a database at all, and long enough to be read as a header'.repeat(20), 'short'])(
  'F09 a garbage file fails open(), not the first request (%#)',
  async (garbage) => {
    const filename = await temporaryFile();
    await writeFile(filename, garbage);
    const pool = poolOf({ filename, pragmas: false });
    expect(await failure(pool.open())).toMatchObject({ name: 'OpenError', reason: 'not-a-database' });
    await rename(filename, `${filename}.garbage`);
    await pool.open();
    expect(await pool.get('SELECT 1 AS one')).toEqual({ one: 1 });
  },
);

test('F10 1000 acquires at once on a cold pool open no more than poolSize connections', async () => {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, poolSize: 4 });
  const rows = await Promise.all(Array.from({ length: 1000 }, (_, n) => pool.get('SELECT ? AS n', [n])));
  expect(rows).toEqual(Array.from({ length: 1000 }, (_, n) => ({ n })));
  expect(pool.stats()).toMatchObject({ opens: 4, acquires: 1000, waiting: 0, leased: 0, idle: 4 });
});

test('F10 a single acquire on a cold pool opens one connection', async () => {
  const { pool } = await fileWithTable({ poolSize: 4 });
  await pool.get('SELECT 1');
  expect(pool.stats().opens).toBe(1);
});

test('several pools that create one file at the same moment all get it in WAL mode', async () => {
  for (let round = 0; round < 5; round += 1) {
    const filename = await temporaryFile();
    const pools = Array.from({ length: 4 }, () => poolOf({ filename }));
    const modes = await Promise.all(pools.map((pool) => pool.get('PRAGMA journal_mode')));
    expect(modes).toEqual(Array.from({ length: 4 }, () => ({ journal_mode: 'wal' })));
  }
});

test('connections that are opened at once on a new file do not disturb each other, even without a busy timeout', async () => {
  for (let round = 0; round < 10; round += 1) {
    const pool = poolOf({ filename: await temporaryFile(), poolSize: 8, pragmas: { busy_timeout: 0 } });
    const modes = await Promise.all(
      Array.from({ length: 8 }, () => pool.connection((lease) => lease.get('PRAGMA journal_mode'))),
    );
    expect(new Set(modes.map((mode) => JSON.stringify(mode)))).toEqual(new Set(['{"journal_mode":"wal"}']));
  }
});

test('a connection that cannot be set up while others lock the file waits for them, even without a busy timeout', async () => {
  const filename = await temporaryFile();
  const other = poolOf({ filename, pragmas: { journal_mode: 'DELETE' } });
  const lock = await other.acquire();
  await lock.run('BEGIN EXCLUSIVE');
  const tries = vi.spyOn(sqliteModule.Database.prototype, 'exec');
  const pool = poolOf({ filename, pragmas: { busy_timeout: 0 } });
  const opened = pool.open();
  await vi.waitFor(() => {
    if (onSqlite3) expect(tries.mock.calls.length).toBeGreaterThan(1);
    else expect(pool.stats().opening).toBe(1);
  });
  await lock.release();
  await opened;
  expect(await pool.get('PRAGMA journal_mode')).toEqual({ journal_mode: 'wal' });
});

test('a connection that cannot be set up because others lock the file for good says so after a few seconds, and keeps no thread meanwhile', async () => {
  const filename = await temporaryFile();
  const other = poolOf({ filename, pragmas: { journal_mode: 'DELETE' } });
  const lock = await other.acquire();
  await lock.run('BEGIN EXCLUSIVE');
  const tries = vi.spyOn(sqliteModule.Database.prototype, 'exec');
  const pool = poolOf({ filename });
  const took = await timed(async () => {
    expect(await failure(pool.open())).toMatchObject({
      code: 'OPEN_FAILED',
      cause: { errno: 5, message: expect.stringContaining('locked') as unknown },
    });
  });
  expect(took).toBeGreaterThan(4000);
  expect(took).toBeLessThan(7000);
  // On libuv's threads; on worker threads the pause between two tries is on the main thread, too.
  if (onSqlite3) expect(tries.mock.calls.length).toBeGreaterThan(20);
  await lock.release();
  await pool.open();
});

test('several pools that open one new file at the same moment all succeed', async () => {
  // A pool on the default driver starts a thread.
  for (let round = onSqlite3 ? 0 : 7; round < 10; round += 1) {
    const filename = await temporaryFile();
    const pools = Array.from({ length: 6 }, () => poolOf({ filename }));
    const opened = await Promise.allSettled(pools.map((pool) => pool.open()));
    expect(opened.filter(({ status }) => status === 'rejected')).toEqual([]);
  }
});

test('a file name is taken as it is, whatever it would mean in a URI', async () => {
  const directory = await temporaryDirectory();
  const name = 'ä b%20c?mode=ro#d.db';
  const pool = poolOf({ filename: join(directory, name) });
  await pool.script('CREATE TABLE t (v)');
  expect(await readdir(directory)).toContain(name);
});

test('a relative path means the directory in which the pool was made', async () => {
  const directory = await temporaryDirectory();
  const before = process.cwd();
  process.chdir(directory);
  const pool = poolOf({ filename: 'here.db' });
  process.chdir(before);
  await pool.script('CREATE TABLE t (v)');
  expect(await readdir(directory)).toContain('here.db');
});

test.for([
  { what: 'missing', packages: {}, message: 'npm install sqlite3', cause: "Cannot find package 'sqlite3'" },
  {
    what: 'there without its native part',
    packages: { sqlite3: "throw new Error('Could not locate the bindings file.')" },
    message: 'npm rebuild sqlite3',
    cause: 'Could not locate the bindings file.',
  },
])(
  'a driver package that is $what is a typed error that says what to do',
  async ({ packages, message, cause }) => {
    const directory = await temporaryDirectory();
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
    await cp(join(import.meta.dirname, '../../src'), join(directory, 'src'), { recursive: true });
    for (const [name, source] of Object.entries(packages)) {
      await mkdir(join(directory, 'node_modules', name), { recursive: true });
      await writeFile(join(directory, 'node_modules', name, 'index.js'), source);
    }
    vi.stubEnv('npm_config_user_agent', 'npm/12.2.2');
    const child = new Child('copied.ts', [join(directory, 'src')]);
    expect(await child.next()).toEqual({
      code: 'DRIVER_MISSING',
      message: expect.stringContaining(message) as unknown,
      cause: expect.stringContaining(cause) as unknown,
    });
    expect(await child.exit).toBe(0);
  },
);

/** How many of this process's file descriptors are open on a database, its WAL and its index. */
async function openFiles(filename: string): Promise<number> {
  const { readlink } = await import('node:fs/promises');
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(filename)).length;
}
