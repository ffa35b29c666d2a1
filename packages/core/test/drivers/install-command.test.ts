import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import {
  buildCommand,
  installCommand,
  packageManager,
  type PackageManager,
} from '../../src/drivers/install-command.ts';

/** A directory with these files in it; the directories above it say nothing. */
async function project(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  return directory;
}

const EACH: readonly PackageManager[] = ['npm', 'pnpm', 'yarn', 'bun', 'deno'];

test.for([
  ['npm', 'npm install better-sqlite3'],
  ['pnpm', 'pnpm add better-sqlite3'],
  ['yarn', 'yarn add better-sqlite3'],
  ['bun', 'bun add better-sqlite3'],
  ['deno', 'deno add npm:better-sqlite3'],
] as const)('%s installs what is not compiled with: %s', ([manager, command]) => {
  expect(installCommand('better-sqlite3', manager)).toBe(command);
});

test.for([
  ['npm', 'npm install sqlite3 && npm approve-scripts sqlite3 && npm rebuild sqlite3'],
  ['pnpm', 'pnpm add --allow-build=sqlite3 sqlite3'],
  ['yarn', 'yarn add sqlite3, then yarn rebuild sqlite3'],
  ['bun', 'bun add --trust sqlite3'],
  ['deno', 'deno add npm:sqlite3 && deno install --allow-scripts=npm:sqlite3'],
] as const)('%s installs what must be compiled with: %s', ([manager, command]) => {
  expect(installCommand('sqlite3', manager)).toContain(command);
});

test('each has a command that compiles what is there already', () => {
  for (const manager of EACH)
    expect(buildCommand('sqlite3', manager)).toMatch(new RegExp(`^${manager} .*sqlite3`));
});

test.for([
  ['npm/11.21.2 node/v24.21.0 linux x64 workspaces/false', 'npm'],
  ['pnpm/12.21.0 npm/? node/v24.21.0 linux x64', 'pnpm'],
  ['yarn/1.22.22 npm/? node/v24.21.0 linux x64', 'yarn'],
  ['bun/1.4.5 npm/? node/v24.3.0 linux x64', 'bun'],
  ['deno/2.9.6 npm/? deno/2.9.6 linux x86_64', 'deno'],
] as const)('the one that started the process counts first: %s', async ([agent, manager]) => {
  expect(packageManager(agent, await project({ 'yarn.lock': '', 'pnpm-lock.yaml': '' }))).toBe(manager);
});

test.for([
  [{ 'package.json': '{ "packageManager": "yarn@4.18.1" }', 'package-lock.json': '' }, 'yarn'],
  [{ 'package.json': '{ "packageManager": "something-else@1" }', 'pnpm-lock.yaml': '' }, 'pnpm'],
  [{ 'package.json': '{ broken', 'bun.lock': '' }, 'bun'],
  [{ 'package.json': '{}', 'bun.lockb': '' }, 'bun'],
  [{ 'yarn.lock': '' }, 'yarn'],
  [{ 'package-lock.json': '' }, 'npm'],
  [{ 'npm-shrinkwrap.json': '' }, 'npm'],
  [{ 'deno.lock': '' }, 'deno'],
  [{}, 'npm'],
] as const)('else what the project says: %o is %s', async ([files, manager]) => {
  expect(packageManager('', await project(files))).toBe(manager);
  expect(packageManager('unheard-of/1.0', await project(files))).toBe(manager);
});

test('the nearest directory counts, and those above it if it says nothing', async () => {
  const directory = await project({ 'pnpm-lock.yaml': '' });
  const inner = join(directory, 'packages', 'inner');
  await mkdir(inner, { recursive: true });
  expect(packageManager('', inner)).toBe('pnpm');
  await writeFile(join(inner, 'yarn.lock'), '');
  expect(packageManager('', inner)).toBe('yarn');
});

test('by default it looks at the process', () => {
  vi.stubEnv('npm_config_user_agent', 'bun/1.4.5');
  expect(packageManager()).toBe('bun');
  expect(installCommand('better-sqlite3')).toBe('bun add better-sqlite3');
  expect(buildCommand('sqlite3')).toBe('bun pm trust sqlite3');
});
