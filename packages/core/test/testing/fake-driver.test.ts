import { describe, expect, it } from 'vitest';
import type { Connection } from '../../src/index.ts';
import { fakeDriver, type FakeDriver, type FakeScript } from '../../src/testing/index.ts';
import { follow } from '../pool/support.ts';

async function opened(script: FakeScript = {}): Promise<{ driver: FakeDriver; connection: Connection }> {
  const driver = fakeDriver(script);
  return { driver, connection: await driver.open() };
}

const DISK = new Error('disk');

describe('a fake driver', () => {
  it('does what its script says at a call, and what a driver should do at all others', async () => {
    const { driver, connection } = await opened({
      execute: { 2: { reject: DISK }, 3: { throw: DISK }, 4: { resolve: { rows: [{ n: 1 }] } } },
    });
    await expect(connection.execute('SELECT 1')).resolves.toMatchObject({ rows: [] });
    await expect(connection.execute('SELECT 1')).rejects.toBe(DISK);
    expect(() => connection.execute('SELECT 1')).toThrow(DISK);
    await expect(connection.execute('SELECT 1')).resolves.toEqual({ rows: [{ n: 1 }] });
    expect(driver.count('execute')).toBe(4);
    expect(driver.violations).toEqual([]);
  });

  it('takes a function that decides at each call, and knows its connection and its statement', async () => {
    const driver = fakeDriver(({ connection, sql }) =>
      connection === 2 && sql === 'A' ? { reject: DISK } : undefined,
    );
    const [one, two] = [await driver.open(), await driver.open()];
    await expect(one.execute('A')).resolves.toBeDefined();
    await expect(two.execute('A')).rejects.toBe(DISK);
    await expect(two.execute('B')).resolves.toBeDefined();
  });

  it('settles by hand what hangs, once', async () => {
    const { driver, connection } = await opened({ execute: { 1: 'hang', 2: 'hang' } });
    const late = follow(connection.execute('BEGIN'));
    connection.interrupt?.();
    await Promise.resolve();
    expect(late.now.state).toBe('pending');
    expect(driver.openTransactions).toBe(0);
    driver.call('execute').resolve();
    driver.call('execute').reject(DISK);
    await Promise.resolve();
    expect(late.now.state).toBe('resolved');
    expect(driver.openTransactions).toBe(1);
    const failed = connection.execute('COMMIT');
    driver.call('execute', 2).reject(DISK);
    await expect(failed).rejects.toBe(DISK);
    expect(driver.openTransactions).toBe(1);
    expect(() => driver.call('execute', 3)).toThrow('has not made call 3');
  });

  it('ends with an interrupt what can be interrupted, which rolls a write back', async () => {
    const { driver, connection } = await opened({ execute: { 2: 'interruptible' } });
    await connection.execute('BEGIN');
    const write = connection.execute('INSERT INTO t VALUES (1)');
    connection.interrupt?.();
    await expect(write).rejects.toMatchObject({ errno: 9 });
    expect(driver.openTransactions).toBe(0);
  });

  it('calls back twice if its script says so', async () => {
    const { connection } = await opened({ execute: { 1: 'twice' } });
    const heard: string[] = [];
    const call = connection.execute('SELECT 1');
    await new Promise<void>((resolve) => {
      call
        .then(
          () => heard.push('value'),
          () => heard.push('error'),
        )
        .then(() => resolve(), resolve);
    });
    expect(heard).toEqual(['value', 'error', 'value']);
  });

  it('refuses what SQLite refuses of transactions and savepoints', async () => {
    const { driver, connection } = await opened();
    await expect(connection.execute('COMMIT')).rejects.toMatchObject({ errno: 1 });
    await connection.execute('BEGIN IMMEDIATE');
    await expect(connection.execute('BEGIN')).rejects.toMatchObject({ errno: 1 });
    await connection.execute('SAVEPOINT a');
    await connection.execute('SAVEPOINT b');
    await connection.execute('RELEASE a');
    await expect(connection.execute('RELEASE b')).rejects.toMatchObject({ errno: 1 });
    await connection.execute('COMMIT');
    await connection.execute('SAVEPOINT alone');
    await expect(connection.inTransaction()).resolves.toBe(true);
    await connection.execute('ROLLBACK TO alone');
    await expect(connection.inTransaction()).resolves.toBe(true);
    await connection.execute('RELEASE alone');
    await expect(connection.inTransaction()).resolves.toBe(false);
    await connection.rollback();
    await connection.script?.('BEGIN; INSERT INTO t VALUES (1)');
    expect(driver.openTransactions).toBe(1);
    await connection.rollback();
    expect(driver.openTransactions).toBe(0);
  });

  it('sees two calls at once on a connection, a call after its close, and two writers', async () => {
    const driver = fakeDriver();
    const [one, two] = [await driver.open(), await driver.open()];
    await Promise.all([one.execute('SELECT 1'), one.execute('SELECT 2')]);
    expect(driver.violations).toEqual([expect.stringContaining('execute(SELECT 2) on connection 1 while')]);
    await one.execute('BEGIN IMMEDIATE');
    await two.execute('INSERT INTO t VALUES (1)');
    expect(driver.violations[1]).toContain('while connection 1 writes');
    await one.close();
    expect(driver.openConnections).toBe(1);
    await one.execute('SELECT 1');
    expect(driver.violations[2]).toContain('after its close');
    await one.close();
    expect(driver.violations).toHaveLength(4);
    await two.execute('INSERT INTO t VALUES (1)');
    expect(driver.violations).toHaveLength(4);
  });

  it('leaves out the abilities that its options name', async () => {
    const driver = fakeDriver({}, { without: ['interrupt', 'inTransaction'], databaseId: 'mine' });
    const connection = await driver.open();
    expect([connection.interrupt, connection.inTransaction]).toEqual([undefined, undefined]);
    expect(connection.script).toBeDefined();
    await expect(driver.databaseId?.()).resolves.toBe('mine');
  });

  it('steps through three rows', async () => {
    const { connection } = await opened({ next: { 2: { resolve: { done: false, value: { n: 'two' } } } } });
    const rows = connection.iterate?.('SELECT n FROM t', []);
    const steps = [await rows?.next(), await rows?.next(), await rows?.next(), await rows?.next()];
    expect(steps.map((step) => step?.value)).toEqual([{ n: 1 }, { n: 'two' }, { n: 3 }, undefined]);
    await expect(rows?.return?.()).resolves.toMatchObject({ done: true });
  });
});
