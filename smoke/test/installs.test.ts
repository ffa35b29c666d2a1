import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { environment, install, MANAGERS, NPM_12, PNPM_12, type Manager } from './application.ts';
import { fetched, type Fetched } from './fetched.ts';
import { startRegistry, type Registry } from './registry.ts';

/** All of them take a minute: `pnpm test` tries two, `pnpm test:installs` every one. */
const isFull = process.env['INSTALLS'] === 'all';
const managers = isFull ? MANAGERS : [NPM_12, PNPM_12];

const nodes: readonly (readonly [string, string | undefined])[] = [
  ...(isFull ? [['22', await fetched('node-22')] as const] : []),
  ['24', process.execPath],
  ...(isFull ? [['26', await fetched('node-26')] as const] : []),
];

const programs = new Map<Fetched, string | undefined>();
for (const { name } of managers) programs.set(name, await fetched(name));
const pnpm = programs.get('pnpm-12');
const table: Record<string, Record<string, string>> = {};

let registry: Registry;
beforeAll(async () => {
  if (pnpm !== undefined) registry = await startRegistry(pnpm);
}, 60_000);
afterAll(async () => {
  if (pnpm !== undefined) await registry.close();
  if (isFull) console.table(table);
});

/** The first example of the README of Fastify's plugin, and how it is installed. */
async function example(): Promise<{ readonly packages: string[]; readonly code: string }> {
  const readme = await readFile(
    join(import.meta.dirname, '..', '..', 'packages', 'fastify', 'README.md'),
    'utf8',
  );
  const [, packages = ''] = /^npm install ([^#\n]*)/m.exec(readme) ?? [];
  const [, code = ''] = /```js\n(.*?)```/s.exec(readme) ?? [];
  return { packages: packages.trim().split(' '), code: code.replace('3000', '0') };
}

/** Starts the example, and asks it for a row that is there and for one that is not. */
async function answers(manager: Manager, program: string, node: string, folder: string): Promise<unknown> {
  const before = manager.start === undefined ? [] : [program, ...manager.start];
  // `yarn node` takes the first one of the PATH.
  const env = { ...environment, PATH: [dirname(node), environment['PATH']].join(delimiter) };
  const child = spawn(node, [...before, 'app.mjs'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = once(child, 'exit');
  onTestFinished(() => void child.kill('SIGKILL'));
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = exit.then(() => Promise.reject(new Error(`It ended: ${errors}`)));
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [string];
  const url = line.replace(/(localhost|\[::1\])/, '127.0.0.1');
  const made = await fetch(`${url}/notes`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ body: 'hello' }),
  });
  const { id } = (await made.json()) as { id: number };
  const row = await fetch(`${url}/notes/${String(id)}`);
  const missing = await fetch(`${url}/notes/1000`);
  child.kill('SIGTERM');
  const [code, signal] = (await exit) as unknown[];
  const statuses = [made.status, row.status, missing.status];
  return { statuses, row: await row.json(), end: code ?? signal, errors };
}

describe.skipIf(pnpm === undefined)("the example of Fastify's README, as it is installed", () => {
  for (const manager of managers) {
    const program = programs.get(manager.name);
    test.skipIf(program === undefined)(
      `with ${manager.name}, no install script and no compiler`,
      async () => {
        const row: Record<string, string> = (table[manager.name] = { install: 'failed' });
        const { packages, code } = await example();
        const began = performance.now();
        const folder = await install(manager, String(program), registry, packages);
        onTestFinished(() => rm(folder, { recursive: true, maxRetries: 3 }));
        row['install'] = `${((performance.now() - began) / 1000).toFixed(1)} s`;
        await writeFile(join(folder, 'app.mjs'), code);
        for (const [name, node] of nodes) {
          const column = `Node.js ${name}`;
          row[column] = node === undefined ? 'skipped' : 'failed';
          if (node === undefined) continue;
          const works = { statuses: [201, 200, 404], row: { body: 'hello' }, end: 0, errors: '' };
          expect(await answers(manager, String(program), node, folder)).toMatchObject(works);
          row[column] = 'works';
        }
      },
      120_000,
    );
  }
});
