import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Fetched } from './fetched.ts';
import type { Registry } from './registry.ts';

const run = promisify(execFile);

/** How a package manager installs without running any install script, and how a program is started then. */
export interface Manager {
  readonly name: Fetched;
  /** Whether it is started with Node.js. */
  readonly isScript: boolean;
  readonly add: readonly string[];
  readonly settings?: Readonly<Record<string, string>>;
  /** Before the file to start. */
  readonly start?: readonly string[];
}

export const NPM_12: Manager = { name: 'npm-12', isScript: true, add: ['install'] };
export const PNPM_12: Manager = { name: 'pnpm-12', isScript: false, add: ['add'] };

export const MANAGERS: readonly Manager[] = [
  { name: 'npm-11', isScript: true, add: ['install', '--ignore-scripts'] },
  // These two run none by default.
  NPM_12,
  PNPM_12,
  // The caches of yarn go by version, and here that stays the same while its contents change.
  { name: 'yarn-1', isScript: true, add: ['add', '--ignore-scripts', '--cache-folder', 'cache'] },
  {
    name: 'yarn-4',
    isScript: true,
    add: ['add'],
    settings: { YARN_ENABLE_SCRIPTS: 'false', YARN_ENABLE_GLOBAL_CACHE: 'false' },
    // It makes no node_modules by default.
    start: ['node'],
  },
];

/** Without what the package manager of this run has set for its own. */
export const environment: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(npm|pnpm|yarn|corepack)_/i.test(name)),
);

/** Installs packages into a new folder, with `program` as the package manager. The caller removes it. */
export async function install(
  manager: Manager,
  program: string,
  registry: Registry,
  packages: readonly string[],
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-application-'));
  const { stdout } = await run('npm', ['config', 'get', 'registry'], { env: environment });
  const all = stdout.trim();
  await writeFile(join(folder, 'package.json'), '{ "name": "app", "private": true }');
  await writeFile(join(folder, '.npmrc'), `registry=${all}\n@sqlite-pool:registry=${registry.url}/\n`);
  if (manager.name === 'yarn-4') {
    const scope = `npmScopes:\n  sqlite-pool:\n    npmRegistryServer: '${registry.url}'\n`;
    const settings = `${scope}npmRegistryServer: '${all}'\nunsafeHttpWhitelist: ['127.0.0.1']\n`;
    await writeFile(join(folder, '.yarnrc.yml'), settings);
    // Or it takes a folder above for the project.
    await writeFile(join(folder, 'yarn.lock'), '');
  }
  const [file, args] = manager.isScript ? [process.execPath, [program]] : [program, []];
  const env = { ...environment, ...manager.settings };
  await run(file, [...args, ...manager.add, ...packages], { cwd: folder, env, timeout: 110_000 });
  return folder;
}
