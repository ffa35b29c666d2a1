import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { createPool, type Clock, type Driver, type PoolOptions, type SqlitePool } from '../../src/index.ts';
import { checkOptions } from '../../src/options.ts';

/** A query that keeps SQLite busy for minutes, unless it is interrupted. */
export const ENDLESS =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000000000) SELECT count(*) AS c FROM n';

/** So many rows, to be joined, that no driver reads all of them ahead: a cursor over them stays open. */
export const MANY =
  '(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n)';

/** A directory of its own for one test. */
export async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** The path of a database that does not exist yet. */
export async function temporaryFile(): Promise<string> {
  return join(await temporaryDirectory(), 'test.db');
}

/** A pool that the end of the test closes. */
export function poolOf(options: PoolOptions): SqlitePool {
  const pool = createPool({ closeTimeoutMs: 200, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

/** The driver that a pool with these options has. Another one must not open the same file in the same process. */
export function driverOf(options: PoolOptions & { readonly filename: string }): Driver {
  return checkOptions(options).driver;
}

/** These tests run once more with sqlite3 in the place of the default driver; some are about what only one of them does. */
export const onSqlite3: boolean = driverOf({ filename: ':memory:' }).name === 'sqlite3';

/** A pool on a file of its own, with a table `t (id INTEGER PRIMARY KEY, v)`. */
export async function poolWithTable(options: Omit<PoolOptions, 'filename'> = {}): Promise<SqlitePool> {
  return (await fileWithTable(options)).pool;
}

/** The same, and the path of the file. */
export async function fileWithTable(
  options: Omit<PoolOptions, 'filename'> = {},
): Promise<{ pool: SqlitePool; filename: string }> {
  const filename = await temporaryFile();
  const pool = poolOf({ filename, ...options });
  await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');
  return { pool, filename };
}

/** The values of column `v`, in the order of their insertion. */
export async function valuesOf(pool: Pick<SqlitePool, 'all'>): Promise<unknown[]> {
  const rows = await pool.all<{ v: unknown }>('SELECT v FROM t ORDER BY id');
  return rows.map(({ v }) => v);
}

/**
 * What has cancelled a call. On a machine that is very busy a write that was interrupted may not return in time to say that nothing was
 * done.
 */
export async function cancelledBy(call: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const error = await failure(call);
  return error['code'] === 'OUTCOME_UNKNOWN' ? (error.cause as typeof error) : error;
}

/** What `promise` rejects with; fails if it resolves. */
export async function failure(promise: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  if (outcome === undefined) throw new Error('The promise was expected to reject, and resolved.');
  // Tests look at the fields of whatever error comes.
  return outcome.error as Error & Record<string, unknown>;
}

/** A moment that one part of a test announces and another one waits for. */
export interface Moment {
  readonly reached: Promise<void>;
  reach(): void;
}

export function moment(): Moment {
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => (reach = resolve));
  return {
    reached,
    reach: () => {
      reach();
    },
  };
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work();
  return performance.now() - since;
}

/** A program of `children/` in a process of its own, which talks by messages and prints what it likes. */
export class Child {
  readonly process: ChildProcess;
  readonly exit: Promise<number | null>;
  output = '';
  readonly #messages: unknown[] = [];
  readonly #readers: ((message: unknown) => void)[] = [];

  /** `command` goes before the command line of the program, to set something up for it. */
  constructor(name: string, args: readonly string[], { command = [] }: { command?: readonly string[] } = {}) {
    const script = join(import.meta.dirname, 'children', name);
    const [file = '', ...rest] = [...command, process.execPath, script, ...args];
    this.process = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.process.stdout?.on('data', (data: Buffer) => (this.output += data.toString()));
    this.process.stderr?.on('data', (data: Buffer) => (this.output += data.toString()));
    this.exit = new Promise((resolve) => this.process.once('close', resolve));
    this.process.on('message', (message) => {
      const reader = this.#readers.shift();
      if (reader === undefined) this.#messages.push(message);
      else reader(message);
    });
    onTestFinished(() => void this.process.kill('SIGKILL'));
  }

  /** The next message, or an error with what the child printed if it ended without one. */
  async next(): Promise<unknown> {
    if (this.#messages.length > 0) return this.#messages.shift();
    const message = new Promise((resolve) => this.#readers.push(resolve));
    const end = this.exit.then((code) => {
      throw new Error(`The child ended with ${String(code)}: ${this.output}`);
    });
    return await Promise.race([message, end]);
  }

  send(message: string): void {
    this.process.send(message);
  }
}

/** Timers run, but nothing takes any time: what a pool decides by what took longer is always decided in the same way. */
export const timelessClock: Clock = {
  now: () => 0,
  schedule: (callback, delayMs) => {
    const timer = setTimeout(callback, delayMs).unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
