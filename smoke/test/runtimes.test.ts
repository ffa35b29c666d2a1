import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { fetched } from './fetched.ts';

interface Application {
  /** The status, and the body. */
  readonly fetch: (path: string, init?: RequestInit) => Promise<[number, string]>;
  /** A client that leaves as soon as its handler has a connection. */
  readonly leave: (method: string) => Promise<void>;
  readonly stats: () => Promise<{ leased: number; writerHeld: boolean; ends: string[] }>;
  /** Sends SIGTERM; resolves to the exit code. */
  readonly stop: () => Promise<unknown>;
  readonly filename: string;
}

async function start(command: string, args: readonly string[], driver: string): Promise<Application> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-smoke-'));
  const filename = join(directory, 'app.db');
  const script = at('../src/runtimes/hono.mjs');
  const child = spawn(command, [...args, script, filename, driver], {
    cwd: at('..'),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
    await rm(directory, { recursive: true });
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = exited.then(() => Promise.reject(new Error(errors)));
  const [port] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [string];
  const url = `http://127.0.0.1:${port}`;
  const stats = async () =>
    (await (await fetch(`${url}/stats`)).json()) as Awaited<ReturnType<Application['stats']>>;
  return {
    filename,
    stats,
    async fetch(path, init) {
      const response = await fetch(`${url}${path}`, init);
      return [response.status, await response.text()];
    },
    async leave(method) {
      const client = new AbortController();
      const left = fetch(`${url}/db/endless`, { method, signal: client.signal }).catch(() => undefined);
      await vi.waitFor(async () => expect((await stats()).leased).toBe(1), { timeout: 5000 });
      client.abort();
      await left;
    },
    async stop() {
      child.kill('SIGTERM');
      return (await exited)[0] as unknown;
    },
  };
}

const bun = await fetched('bun');
const deno = await fetched('deno');

describe.each([
  ['Bun', 'sqlite3', bun, []],
  ['Deno', 'sqlite3', deno, ['run', '-A']],
  ['Bun', 'default', bun, []],
  ['Deno', 'default', deno, ['run', '-A']],
] as const)('Hono on %s, with the %s driver', (_name, driver, command, args) => {
  test.skipIf(command === undefined)('leases a connection to each request, and revokes it', async () => {
    const app = await start(String(command), args, driver);
    // An answer can be here a moment before its connection is back.
    const isFree = () =>
      vi.waitFor(async () => expect(await app.stats()).toMatchObject({ leased: 0, writerHeld: false }));
    expect(await app.fetch('/db/one')).toEqual([200, '{"one":1}']);
    expect((await app.fetch('/db/error'))[0]).toBe(500);
    expect(await app.fetch('/db/one', { method: 'HEAD' })).toEqual([200, '']);
    expect(await app.fetch('/db/context')).toEqual([200, 'absent']);
    await isFree();

    // The body is made after the response: a connection for each of its statements.
    expect(await app.fetch('/db/stream')).toEqual([200, '{"n":1}{"n":2}{"n":3}']);
    expect(await app.fetch('/db/stream', { method: 'HEAD' })).toEqual([200, '']);
    await isFree();

    expect(await app.fetch('/db/failed', { method: 'POST' })).toEqual([409, 'no']);
    expect(await app.fetch('/db/notes', { method: 'POST' })).toEqual([201, '{"count":1}']);
    await isFree();

    for (const method of ['GET', 'POST']) await app.leave(method);
    await vi.waitFor(async () => expect((await app.stats()).ends).toEqual(['LEASE_ENDED', 'LEASE_ENDED']), {
      timeout: 5000,
    });
    await isFree();

    expect(await app.stop()).toBe(0);
    expect(existsSync(`${app.filename}-wal`)).toBe(false);
  });
});

function at(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
