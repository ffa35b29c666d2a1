import { constants } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import BetterSqlite3 from 'better-sqlite3';
import { describe, expect, onTestFinished, test } from 'vitest';
import { extensionPath } from '../src/index.ts';
import { connect, DRIVERS, interruptOf, keyOf, open, type Database, type Driver } from './database.ts';
import { ENDLESS } from './endless.ts';
import { RemoteDatabase } from './remote-database.ts';
import { stress } from './stress/stress.ts';

const path = extensionPath() ?? '';

/** A database of this thread, which is closed after the test. */
function local(driver: Driver, file: string = path): Database {
  const database = open(driver, file);
  onTestFinished(() => void database.close());
  return database;
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

describe.each(DRIVERS)('with %s', (driver) => {
  test('an endless statement stops within 50 ms, and its connection goes on', async () => {
    const database = await RemoteDatabase.open(driver, path);
    const interrupt = interruptOf(local(driver));
    const latencies: number[] = [];
    for (let i = 0; i < 100; i++) {
      const { ended } = await database.start(ENDLESS);
      const before = process.hrtime.bigint();
      expect(interrupt(database.key)).toBe(1);
      const { outcome, at } = await ended;
      expect(outcome).toMatchObject({ interrupted: true });
      latencies.push(Number(at - before) / 1e6);
      expect(await database.run('SELECT 1 AS value')).toEqual({ rows: [{ value: 1 }] });
    }
    expect(latencies.sort((a, b) => a - b)[50]).toBeLessThan(50);
  });

  test('an interrupted write is rolled back with its transaction', async () => {
    const database = await RemoteDatabase.open(driver, path);
    await database.run('CREATE TABLE t (i INTEGER)');
    await database.run('BEGIN');
    await database.run('INSERT INTO t VALUES (1)');
    const { ended } = await database.start(`INSERT INTO t ${ENDLESS}`);
    interruptOf(local(driver))(database.key);
    expect((await ended).outcome).toMatchObject({ interrupted: true });
    expect(await database.run('SELECT count(*) AS value FROM t')).toEqual({ rows: [{ value: 0 }] });
    expect(await database.run('COMMIT')).toMatchObject({ interrupted: false });
  });

  test('F74 a value that is too long for a string of V8 is refused', () => {
    const database = local(driver);
    const blob = (bytes: number): unknown =>
      database.prepare(`SELECT length(zeroblob(${String(bytes)})) AS value`).get();
    expect(blob(constants.MAX_STRING_LENGTH)).toEqual({ value: constants.MAX_STRING_LENGTH });
    expect(() => blob(constants.MAX_STRING_LENGTH + 1)).toThrow('string or blob too big');
  });

  test('an interrupt reaches one connection and no other', async () => {
    const [one, other] = [await RemoteDatabase.open(driver, path), await RemoteDatabase.open(driver, path)];
    const interrupt = interruptOf(local(driver));
    const [first, second] = [await one.start(ENDLESS), await other.start(ENDLESS)];
    interrupt(one.key);
    await first.ended;
    await one.run('SELECT 1');
    const before = process.hrtime.bigint();
    interrupt(other.key);
    expect((await second.ended).at).toBeGreaterThan(before);
  });

  test('an interrupt of an idle connection is lost, and harms nothing that comes later', async () => {
    const database = await RemoteDatabase.open(driver, path);
    const interrupt = interruptOf(local(driver));
    await database.run('CREATE TABLE t (i INTEGER)');
    await database.run('BEGIN');
    for (let i = 0; i < 100; i++) {
      expect(interrupt(database.key)).toBe(1);
      expect(await database.run(`INSERT INTO t VALUES (${i})`)).toEqual({ rows: [] });
    }
    interrupt(database.key);
    expect(await database.run('COMMIT')).toEqual({ rows: [] });
    expect(await database.run('SELECT count(*) AS value FROM t')).toEqual({ rows: [{ value: 100 }] });
  });

  test('the key of a closed connection interrupts nothing, nor does what is no key', async () => {
    const database = await RemoteDatabase.open(driver, path);
    const controller = local(driver);
    const interrupt = interruptOf(controller);
    expect(interrupt(database.key)).toBe(1);
    await database.close();
    expect(interrupt(database.key)).toBe(0);
    for (const value of ['NULL', '0', '-1', "''", "'x'", "x'00'", '9e99']) {
      expect(controller.prepare(`SELECT sqlite_pool_interrupt(${value}) AS value`).get()).toEqual({
        value: 0,
      });
    }
    expect(() => controller.prepare('SELECT sqlite_pool_interrupt(1, 2)').get()).toThrow('takes one key');
  });

  test('a worker that is terminated takes its connections out of the registry', async () => {
    const database = await RemoteDatabase.open(driver, path);
    const interrupt = interruptOf(local(driver));
    await database.start(ENDLESS);
    const terminated = database.terminate();
    interrupt(database.key);
    await terminated;
    expect(interrupt(database.key)).toBe(0);
  });

  test('keys are random numbers that JavaScript holds exactly', () => {
    const keys = Array.from({ length: 200 }, () => keyOf(local(driver)));
    expect(new Set(keys).size).toBe(200);
    expect(keys.every((key) => Number.isSafeInteger(key) && key > 0)).toBe(true);
    // Of 200 random keys some are in each half of the range.
    expect(Math.min(...keys)).toBeLessThan(2 ** 52);
    expect(Math.max(...keys)).toBeGreaterThan(2 ** 52);
  });

  test('a connection that loads the extension again keeps its key', () => {
    const database = connect(driver);
    onTestFinished(() => void database.close());
    database.loadExtension(path);
    const key = keyOf(database);
    database.loadExtension(path);
    expect(keyOf(database)).toBe(key);
    expect(interruptOf(local(driver))(key)).toBe(1);
  });

  test('a function of the same name takes the connection out of the registry', () => {
    const database = local(driver);
    const key = keyOf(database);
    database.function('sqlite_pool_interrupt', { varargs: true }, () => 7);
    expect(keyOf(database)).toBe(7);
    expect(interruptOf(local(driver))(key)).toBe(0);
  });

  test('neither views nor triggers may call the function, nor SQL load an extension', () => {
    const database = local(driver);
    database.exec(`
      CREATE TABLE t (i INTEGER);
      CREATE VIEW v AS SELECT sqlite_pool_interrupt() AS value;
      CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT sqlite_pool_interrupt(new.i); END;
    `);
    expect(() => database.prepare('SELECT value FROM v').get()).toThrow('unsafe use');
    expect(() => database.exec('INSERT INTO t VALUES (1)')).toThrow('unsafe use');
    expect(() => database.prepare('SELECT load_extension(?)').get(path)).toThrow('not authorized');
  });

  test('beside an open cursor an interrupt lasts; once it is closed the connection goes on', () => {
    const database = local(driver);
    const cursor = database.prepare('SELECT 1 AS value UNION SELECT 2').iterate();
    cursor.next();
    interruptOf(local(driver))(keyOf(database));
    expect(() => database.prepare('SELECT 1 AS value').get()).toThrow('interrupted');
    cursor.return?.();
    expect(database.prepare('SELECT 1 AS value').get()).toEqual({ value: 1 });
  });

  test('a connection writes its WAL back when it closes, if a statement has run since the interrupt', async () => {
    const folder = await temporaryFolder();
    for (const [name, isLeft] of Object.entries({ interrupted: true, used: false })) {
      const database = open(driver, path, join(folder, name));
      database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (i INTEGER)');
      interruptOf(local(driver))(keyOf(database));
      if (name === 'used') database.prepare('SELECT 1').get();
      database.close();
      expect(existsSync(join(folder, `${name}-wal`))).toBe(isLeft);
    }
  });

  test('connections of all drivers interrupt each other', async () => {
    const database = await RemoteDatabase.open(driver, path);
    for (const other of DRIVERS) {
      const { ended } = await database.start(ENDLESS);
      expect(interruptOf(local(other))(database.key)).toBe(1);
      expect((await ended).outcome).toMatchObject({ interrupted: true });
    }
  });

  test('a copy of the file is another registry', async () => {
    const copy = join(await temporaryFolder(), 'copy');
    await copyFile(path, copy);
    const theirs = local(driver, copy);
    expect(interruptOf(local(driver))(keyOf(theirs))).toBe(0);
    expect(interruptOf(local(driver, copy))(keyOf(theirs))).toBe(1);
  });

  test('thousands of random interrupts, while connections open and close, leave all of them intact', async () => {
    const { interrupted } = await stress({ drivers: [driver, driver], path, interrupts: 3000 });
    expect(interrupted).toBeGreaterThan(100);
  }, 60_000);

  test('a process that interrupts all its connections when it exits does not wait for an endless statement', async () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'children/exit.ts'), driver, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => {
      child.kill('SIGKILL');
    });
    await once(child.stdout, 'data');
    const before = performance.now();
    const [code] = (await once(child, 'exit')) as [number];
    expect(code).toBe(5);
    expect(performance.now() - before).toBeLessThan(2000);
  });
});

test('eight SQLite libraries can use the extension at the same time, and each frees its place', async () => {
  local('better-sqlite3');
  const addon =
    Object.keys(createRequire(import.meta.url).cache).find((file) => file.endsWith('.node')) ?? '';
  const folder = await temporaryFolder();
  const databases: BetterSqlite3.Database[] = [];
  const load = async (i: number): Promise<number> => {
    // A copy of the addon is a library of its own.
    const nativeBinding = join(folder, `${i}.node`);
    await copyFile(addon, nativeBinding);
    const database = new BetterSqlite3(':memory:', { nativeBinding });
    onTestFinished(() => void database.close());
    databases.push(database.loadExtension(path));
    return keyOf(database as Database);
  };
  const [first] = [await load(1), await load(2), await load(3), await load(4), await load(5), await load(6)];
  const seventh = await load(7);
  await expect(load(8)).rejects.toThrow('more than 8 SQLite libraries in one process');
  databases[1]?.close();
  const ninth = await load(9);
  for (const key of [seventh, ninth]) expect(interruptOf(databases[0] as Database)(key)).toBe(1);
  expect(interruptOf(databases.at(-1) as Database)(first)).toBe(1);
});
