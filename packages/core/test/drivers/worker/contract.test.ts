import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { betterSqlite3 } from '../../../src/drivers/worker/better-sqlite3.ts';
import { resultCodeOf } from '../../../src/driver-errors.ts';
import { READONLY } from '../../../src/drivers/worker/calls.ts';
import { openMessage } from '../../../src/drivers/worker/driver.ts';
import { loadBinding } from '../../../src/drivers/worker/inside/bindings.ts';
import { Opener } from '../../../src/drivers/worker/inside/work.ts';
import { known, type OpenMessage } from '../../../src/drivers/worker/protocol.ts';
import { describeError } from '../../../src/drivers/worker/inside/errors.ts';
import { nodeSqlite } from '../../../src/drivers/worker/node-sqlite.ts';
import { ALL_WAYS, connect, INSERT, newFile, OTHER, read } from './helpers.ts';
import { inThisThread } from './in-this-thread.ts';

describe.for(ALL_WAYS)('a connection of the driver %s', ([, make]) => {
  test('takes one call at a time', async () => {
    const connection = await connect(make({ filename: ':memory:' }));
    const first = read(connection, 'SELECT 1 AS n');
    await expect(read(connection, 'SELECT 2')).rejects.toThrow('one call at a time');
    expect((await first).rows).toEqual([{ n: 1 }]);
  });

  test('takes none after it was closed, and can be closed again', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const other = await connect(driver);
    const connection = await driver.open();
    await connection.close();
    await expect(read(connection, 'SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await expect(connection.close()).resolves.toBeUndefined();
    expect((await read(other, 'SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
  });

  test('runs a script up to the statement that fails', async () => {
    const connection = await connect(make({ filename: ':memory:' }));
    await connection.script?.('CREATE TABLE t (n UNIQUE); INSERT INTO t VALUES (1)');
    const script = connection.script?.('SELECT 1; INSERT INTO t VALUES (2), (2); INSERT INTO t VALUES (3)');
    await expect(script).rejects.toThrow('UNIQUE');
    expect((await read(connection, 'SELECT n FROM t')).rows).toEqual([{ n: 1 }]);
  });

  test('knows its columns after more results of other columns than are remembered', async () => {
    const connection = await connect(make({ filename: ':memory:' }));
    for (let n = 0; n < 1100; n += 1) await read(connection, `SELECT 1 AS c${String(n)}`);
    for (const n of [0, 1, 1099])
      expect((await read(connection, `SELECT 1 AS c${String(n)}`)).columns).toEqual([`c${String(n)}`]);
  });

  test('needs neither values nor a hint', async () => {
    const connection = await connect(make({ filename: ':memory:' }));
    await connection.execute('CREATE TABLE t (n)');
    expect(await connection.execute('INSERT INTO t VALUES (1) RETURNING n')).toMatchObject({
      rows: [{ n: 1 }],
      changes: 1,
      lastInsertRowid: 1,
    });
  });

  test('has an error for more values than there are parameters, or fewer, and goes on', async () => {
    const connection = await connect(make({ filename: ':memory:' }));
    await connection.execute('CREATE TABLE t (n)', [], OTHER);
    await expect(connection.execute('INSERT INTO t VALUES (?)', [1, 2], INSERT)).rejects.toThrow();
    expect((await read(connection, 'SELECT count(*) AS n FROM t')).rows).toEqual([{ n: 0 }]);
  });
});

test('a text with a NUL in it is refused where node:sqlite would end it there', async () => {
  const connection = await connect(
    inThisThread({ name: 'node:sqlite' }, { truncatesText: true })({ filename: ':memory:' }),
  );
  await expect(read(connection, 'SELECT ?', ['a\0b'])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect((await read(connection, 'SELECT ? AS t', ['ab'])).rows).toEqual([{ t: 'ab' }]);
});

const OPEN: OpenMessage = {
  ...openMessage({ filename: ':memory:' }),
  kind: 'open',
  connection: 1,
  slot: new Int32Array(1),
  running: new Int32Array(2),
  path: ':memory:',
  mode: 'create',
  shared: false,
  interruptible: '/no/extension',
};

test('a setup that never settles fails the open, and keeps the thread no longer', async () => {
  const setup = new URL('./children/setup-hangs.ts', import.meta.url);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const opening = new Opener(loadBinding({ name: 'node:sqlite' }), setup.href).open(OPEN);
  const failed = expect(opening).rejects.toThrow('has not settled after 5 seconds');
  await vi.advanceTimersByTimeAsync(5000);
  await failed;
});

test('is set up in the worker, and is opened where an extension that interrupts cannot be loaded', async () => {
  const setup = new URL('./children/setup.ts', import.meta.url);
  const opened = await new Opener(loadBinding({ name: 'node:sqlite' }), setup.href).open(OPEN);
  expect(opened.handle).toBeUndefined();
  const statement = {
    text: { sql: 'SELECT twice(4)', order: [], written: 'SELECT twice(4)' },
    values: [],
    flags: READONLY,
  };
  expect(opened.database.execute(statement).rows).toEqual([[8]]);
  opened.database.close();
});

test('interrupts what runs, and nothing when nothing does', async () => {
  let interrupts = 0;
  const interrupt = (): void => void (interrupts += 1);
  const make = inThisThread({ name: 'node:sqlite' }, {}, interrupt);
  const connection = await connect(make({ filename: ':memory:' }));
  connection.interrupt?.();
  const running = read(connection, 'SELECT 1 AS n');
  connection.interrupt?.();
  await expect(running).rejects.toMatchObject({ code: 'SQLITE_INTERRUPT' });
  expect(interrupts).toBe(0);
});

test('options that cannot work are refused', () => {
  const refused = (options: object): unknown =>
    expect(() => nodeSqlite({ filename: ':memory:', ...options })).toThrow();
  refused({ statementCacheSize: -1 });
  refused({ filename: '' });
  refused({ filename: 'file:app.db' });
  refused({ filename: 'a\0b' });
  refused({ pragmas: { 'x;': 1 } });
});

/** Makes this process say that it is another runtime. */
function stubVersions(versions: Readonly<Record<string, string>>): void {
  const value = { ...process.versions, ...versions };
  vi.stubGlobal('process', Object.create(process, { versions: { value } }));
}

test.for(['20.20.2', '22.12.0', '22.15.1', '23.4.0', '23.11.1'])(
  'Node.js %s has no node:sqlite that can be used: the error says so, and names the ways out',
  async (node) => {
    vi.stubEnv('npm_config_user_agent', 'pnpm/12.21.0');
    stubVersions({ node });
    await expect(nodeSqlite({ filename: ':memory:' }).open()).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
      message: expect.stringMatching(
        /Node\.js 22\.16 or newer, but not 23\..* Run: pnpm add better-sqlite3\. .* Run: pnpm add --allow-build=sqlite3 sqlite3$/,
      ) as unknown,
    });
  },
);

test('Deno has one, that ends a text at a NUL, and its worker gets no flag', async () => {
  stubVersions({ deno: '2.9.6', node: '26.3.0' });
  const connection = await connect(nodeSqlite({ filename: ':memory:' }));
  await expect(read(connection, 'SELECT ?', ['a\0b'])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  const inside = await connect(inThisThread({ name: 'node:sqlite' })({ filename: await newFile() }));
  await inside.script?.('CREATE TABLE t (n UNIQUE); INSERT INTO t VALUES (1)');
  await expect(inside.script?.('INSERT INTO t VALUES (1)')).rejects.toMatchObject({ errno: 2067 });
});

test('an open that fails without a result code, as in Deno, says why by its text', () => {
  const DatabaseSync = function (): never {
    throw new Error('unable to open database file: /nowhere/app.db');
  };
  vi.spyOn(process, 'getBuiltinModule').mockReturnValue({ DatabaseSync });
  const { open } = loadBinding({ name: 'node:sqlite' });
  expect(() => open('/nowhere/app.db', 'create')).toThrow(expect.objectContaining({ errcode: 14 }));
});

test.for(['22.16.0', '24.0.0', '26.10.0'])('Node.js %s has one', async (node) => {
  stubVersions({ node });
  const connection = await nodeSqlite({ filename: ':memory:' }).open();
  await connection.close();
});

/** What looks a package up. */
interface Loader {
  _resolveFilename: (name: string, ...rest: unknown[]) => string;
}

test('without better-sqlite3 the open says how to install it', async () => {
  const loader = createRequire(import.meta.url)('node:module') as Loader;
  const original = loader._resolveFilename;
  vi.spyOn(loader, '_resolveFilename').mockImplementation((name, ...rest) => {
    if (name === 'better-sqlite3') throw new Error('not found');
    return original.call(loader, name, ...rest);
  });
  await expect(betterSqlite3({ filename: ':memory:' }).open()).rejects.toMatchObject({
    code: 'DRIVER_MISSING',
    cause: { message: 'not found' },
  });
});

test('under --permission the driver says what it needs', async () => {
  const url = new URL('../../../src/drivers/worker/node-sqlite.ts', import.meta.url).href;
  const script = `import { nodeSqlite } from '${url}'; await nodeSqlite({ filename: ':memory:' }).open().catch((error) => console.log(error.message));`;
  const flags = ['--permission', '--allow-fs-read=*', '--input-type=module', '-e', script];
  const child = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'ignore'] });
  expect(await text(child.stdout)).toContain('--allow-worker');
});

test('what a setup module throws is described, even if it is no error', () => {
  expect(describeError('text')).toEqual({ message: 'text', code: '', errno: 0 });
  expect(describeError(new Error('plain'))).toEqual({ message: 'plain', code: '', errno: 0 });
});

test('an extended result code that has no name here counts as its primary one', () => {
  expect(resultCodeOf({ code: 'SQLITE_IOERR_WRITE' })).toBe(10);
  // The pool trusts a connection no more after this one, and better-sqlite3 reports only names.
  expect(resultCodeOf({ code: 'SQLITE_READONLY_DBMOVED' })).toBe(1032);
  expect(resultCodeOf({ code: 'SQLITE_CONSTRAINT_UNIQUE' })).toBe(2067);
  expect(resultCodeOf({ code: 'ERR_OTHER' })).toBe(-1);
});

test('threads that have lost track of each other do not go on', () => {
  expect(() => known(undefined)).toThrow('lost track');
});
