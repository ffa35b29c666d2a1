import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Driver, ExecuteHint, Value } from '../../../src/driver.ts';
import { createPool, type PoolOptions, type SqlitePool } from '../../../src/index.ts';
import { BINDING_SOURCES, counting, newFile } from './helpers.ts';
import { findHere, interruptibleDriver } from './interrupts.ts';

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';
/** Takes seconds, but not for ever: nothing could stop it where there are no interrupts. */
const LONG = counting(40_000_000);
const CHILD = fileURLToPath(new URL('./children/endless.ts', import.meta.url));
const missing = (await findHere({ name: 'node:sqlite' })) === undefined;
/** It takes this long at the most that a statement is stopped, on a machine that does something else as well, in milliseconds. */
const SOON_MS = 400;
/** Of the statement that keeps others waiting: long enough to start a thread beside it. */
const LIMIT_MS = 1500;
/** What other reads may take then, all but one in a hundred. */
const FAST_MS = 20;
/** How long a pool that closes waits for a call that was interrupted. */
const PATIENCE_MS = 1000;

/** Says of every read that any handle will do for it, whatever the pool says. */
function sharing(driver: Driver): Driver {
  return {
    ...driver,
    open: async (signal) => {
      const connection = await driver.open(signal);
      const execute = connection.execute.bind(connection);
      return Object.assign(connection, {
        execute: (sql: string, params?: readonly Value[], hint?: ExecuteHint) =>
          execute(sql, params, hint?.readonly === true ? { ...hint, unleased: true } : hint),
      });
    },
  };
}

describe.for(BINDING_SOURCES.map((binding) => [binding.name, binding] as const))(
  'an endless statement under a pool on the driver %s',
  ([, binding]) => {
    const open = async (find = findHere, options: Partial<PoolOptions> = {}): Promise<SqlitePool> => {
      const driver = sharing(interruptibleDriver(binding, find)({ filename: await newFile(), threads: 2 }));
      const pool = createPool({ driver, ...options });
      await pool.script('CREATE TABLE t (n)');
      return pool;
    };

    test.skipIf(missing)('F40 rejects on time, and is stopped', async () => {
      const pool = await open();
      onTestFinished(() => pool.close());
      const begun = performance.now();
      await expect(pool.get(ENDLESS, [], { timeoutMs: 100 })).rejects.toMatchObject({
        code: 'STATEMENT_TIMEOUT',
      });
      expect(performance.now() - begun).toBeLessThan(100 + SOON_MS);
      // What it has occupied is free again: the pool closes at once.
      await pool.close();
      expect(performance.now() - begun).toBeLessThan(100 + 2 * SOON_MS);
    });

    test.for([
      ['with the means to interrupt it', findHere],
      ['without', () => Promise.resolve(undefined)],
    ] as const)('F40 keeps no other read waiting while it runs, %s', async ([, find]) => {
      const pool = await open(find, { closeTimeoutMs: 100 });
      const begun = performance.now();
      const state = { ended: false };
      const long = pool.get(LONG, [], { timeoutMs: LIMIT_MS }).catch((error: unknown) => {
        state.ended = true;
        return error;
      });
      // Taken from behind it, to a thread that has to be started for that.
      await pool.get('SELECT count(*) FROM t');
      const times: number[] = [];
      while (!state.ended) {
        const asked = performance.now();
        await pool.get('SELECT count(*) FROM t');
        times.push(performance.now() - asked);
      }
      expect(await long).toMatchObject({ code: 'STATEMENT_TIMEOUT' });
      expect(performance.now() - begun).toBeLessThan(LIMIT_MS + SOON_MS);
      expect(times.length).toBeGreaterThan(20);
      times.sort((a, b) => a - b);
      expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(FAST_MS);
      expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
      await pool.close().catch(() => undefined);
      expect(performance.now() - begun).toBeLessThan(LIMIT_MS + 100 + 2 * SOON_MS + PATIENCE_MS);
    });

    test('F43 that writes, without the means to interrupt it, keeps only other writes waiting, and a warning names it', async () => {
      const warn = vi.fn();
      const logger = { debug: () => undefined, warn };
      const pool = await open(() => Promise.resolve(undefined), { closeTimeoutMs: 100, logger });
      const write = `INSERT INTO t ${LONG}`;
      const begun = performance.now();
      await expect(pool.run(write, [], { timeoutMs: 100 })).rejects.toMatchObject({
        code: 'OUTCOME_UNKNOWN',
      });
      expect(performance.now() - begun).toBeLessThan(150 + SOON_MS);
      expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
      const other = pool.run('INSERT INTO t VALUES (1)', [], { timeoutMs: 100 });
      await expect(other).rejects.toMatchObject({ code: 'STATEMENT_TIMEOUT' });
      const closing = performance.now();
      await pool.close();
      expect(performance.now() - closing).toBeLessThan(100 + PATIENCE_MS);
      expect(warn).toHaveBeenCalledExactlyOnceWith(
        expect.objectContaining({ code: 'SQLITE_POOL_STUCK', sql: write, writes: true }),
        expect.stringContaining(write),
      );
    });

    test.skipIf(missing).for(['exit', 'end'])('F40 does not keep the process from its %s', async (how) => {
      const child = spawn(process.execPath, [CHILD, binding.name, how], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [output, exit] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      expect(exit[0]).toBe(how === 'exit' ? 4 : 0);
      expect(Number(output)).toBeLessThan(SOON_MS);
    });
  },
);
