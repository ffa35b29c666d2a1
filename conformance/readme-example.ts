import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished } from 'vitest';

/** The example of a README, running as a reader would run it. */
export interface RunningExample {
  readonly url: string;
  readonly directory: string;
  /** Sends SIGTERM; resolves to the exit code, or the signal that ended it. */
  readonly stop: () => Promise<unknown>;
}

/** Runs the first block of JavaScript in a package's README, on any free port instead of 3000. */
export async function runExample(packageDirectory: string): Promise<RunningExample> {
  const readme = await readFile(join(packageDirectory, 'README.md'), 'utf8');
  const [, code = ''] = /```js\n(.*?)```/s.exec(readme) ?? [];
  // Inside the package, so that it finds the package by its name.
  await mkdir(join(packageDirectory, 'reports'), { recursive: true });
  const directory = await mkdtemp(join(packageDirectory, 'reports', 'readme-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, 'example.mjs'), code.replace('3000', '0'));
  const child: ChildProcess = spawn(process.execPath, ['example.mjs'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit').then(([exitCode, signal]: unknown[]) => exitCode ?? signal);
  onTestFinished(() => void child.kill('SIGKILL'));
  if (child.stdout === null) throw new Error('no output');
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    exited.then(() => ['it ended']),
  ])) as [string];
  const stop = async (): Promise<unknown> => {
    child.kill('SIGTERM');
    return await exited;
  };
  return { url: line.replace(/(localhost|\[::1\])/, '127.0.0.1'), directory, stop };
}

/** Runs the example that the READMEs of all plugins have, asks each of its routes, and stops it: it must leave no WAL behind. */
export async function tryNotesExample(packageDirectory: string): Promise<void> {
  const { url, directory, stop } = await runExample(packageDirectory);
  const ask = async (path: string, init?: RequestInit): Promise<unknown> => {
    const response = await fetch(new URL(path, url), init);
    return { status: response.status, body: await response.json() };
  };
  const note = { id: 1, body: 'hello' };
  const json = { 'content-type': 'application/json' };
  const created = await ask('/notes', {
    method: 'POST',
    headers: json,
    body: JSON.stringify({ body: 'hello' }),
  });
  expect(created).toEqual({ status: 201, body: { id: 1 } });
  expect(await ask('/notes')).toEqual({ status: 200, body: [note] });
  expect(await ask('/notes/1')).toEqual({ status: 200, body: note });
  expect(await ask('/notes/2')).toMatchObject({ status: 404 });
  expect(await stop()).toBe(0);
  expect(await readdir(directory)).toEqual(['example.mjs', 'notes.db']);
}
