import { execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { createPool } from '@sqlite-pool/core';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';

import { fetched } from './fetched.ts';

const program = await fetched('litestream');
const application = fileURLToPath(new URL('../src/beside-litestream.mjs', import.meta.url));

/** More than a WAL may have before a pool checkpoints it by itself. */
const ROWS = 4000;
const PATIENT = { timeout: 30_000, interval: 20 };

interface Message {
  readonly acknowledged?: number;
  readonly warning?: string;
}

describe.skipIf(program === undefined)('a pool beside Litestream, with the options of the recipe', () => {
  let directory: string;
  let filename: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-litestream-'));
    filename = join(directory, 'app.db');
    return () => rm(directory, { recursive: true, force: true });
  });

  /** Starts to copy the file; resolves when it has copied something. The result ends it, after all was copied. */
  const replicate = async (): Promise<() => Promise<void>> => {
    const before = (await copied()).length;
    const litestream = spawn(program!, ['replicate', filename, `file://${directory}/copy`], {
      stdio: 'ignore',
    });
    onTestFinished(() => void litestream.kill('SIGKILL'));
    const gone = once(litestream, 'exit');
    await vi.waitUntil(async () => (await copied()).length > before, PATIENT);
    return async () => {
      litestream.kill('SIGINT');
      await gone;
    };
  };

  const copied = () => readdir(join(directory, 'copy'), { recursive: true }).catch(() => []);

  /** An unbroken chain of WAL files is a generation; each begins with a copy of the whole file. */
  const generations = () => readdir(join(directory, 'copy', 'generations'));

  const rowsOf = async (path: string): Promise<number> => {
    const pool = createPool({ filename: path });
    onTestFinished(() => pool.close());
    expect(await pool.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' });
    return (await pool.get<{ n: number }>('SELECT count(*) AS n FROM t'))!.n;
  };

  const restore = async (): Promise<string> => {
    const restored = join(directory, 'restored.db');
    await promisify(execFile)(program!, ['restore', '-o', restored, `file://${directory}/copy`]);
    return restored;
  };

  it('loses no write that was acknowledged when the application is killed', async () => {
    const first = createPool({ filename });
    await first.run('CREATE TABLE t (n INTEGER PRIMARY KEY, v BLOB)');
    await first.close();
    const stop = await replicate();
    const child = fork(application, [filename]);
    onTestFinished(() => void child.kill('SIGKILL'));
    let acknowledged = 0;
    const warnings: string[] = [];
    child.on('message', ({ acknowledged: count = acknowledged, warning }: Message) => {
      acknowledged = count;
      if (warning !== undefined) warnings.push(warning);
    });
    await vi.waitUntil(() => acknowledged > ROWS, PATIENT);
    child.kill('SIGKILL');
    await once(child, 'close');
    await stop();
    const rows = await rowsOf(await restore());
    expect(rows).toBeGreaterThanOrEqual(acknowledged);
    expect(rows).toBe(await rowsOf(filename));
    expect(warnings).toEqual([]);
    expect(await generations()).toHaveLength(1);
  }, 90_000);

  it('is copied anew, as a whole, where the WAL began anew while Litestream did not run', async () => {
    const pool = createPool({ filename, walLimitBytes: null, pragmas: { wal_autocheckpoint: 0 } });
    onTestFinished(() => pool.close());
    await pool.run('CREATE TABLE t (n INTEGER PRIMARY KEY, v BLOB)');
    await (
      await replicate()
    )();
    const before = await generations();
    await pool.run('INSERT INTO t (v) VALUES (zeroblob(8000))');
    await pool.checkpoint({ mode: 'truncate' });
    await pool.run('INSERT INTO t (v) VALUES (zeroblob(8000))');
    await (
      await replicate()
    )();
    expect((await generations()).length).toBeGreaterThan(before.length);
    expect(await rowsOf(await restore())).toBe(2);
  }, 90_000);
});
