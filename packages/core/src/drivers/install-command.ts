import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The package managers. Error messages show the command of the one in use: a user who runs "npm install" in a pnpm
 * workspace gets a second lock file.
 */
export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'bun' | 'deno';

/** The packages of drivers. Some package managers must allow the install script of sqlite3. */
type Package = 'better-sqlite3' | 'sqlite3' | 'ws';

/** The command that installs a driver's package. */
export function installCommand(name: Package, manager: PackageManager = packageManager()): string {
  const compiles = name === 'sqlite3';
  switch (manager) {
    case 'npm':
      return compiles ? `npm install sqlite3 && ${buildCommand('sqlite3', 'npm')}` : `npm install ${name}`;
    case 'pnpm':
      return compiles ? 'pnpm add --allow-build=sqlite3 sqlite3' : `pnpm add ${name}`;
    case 'yarn':
      return compiles ? `yarn add sqlite3, then ${buildCommand('sqlite3', 'yarn')}` : `yarn add ${name}`;
    case 'bun':
      return compiles ? 'bun add --trust sqlite3' : `bun add ${name}`;
    case 'deno':
      return compiles ? `deno add npm:sqlite3 && ${buildCommand('sqlite3', 'deno')}` : `deno add npm:${name}`;
  }
}

/** The command that runs the install script of an installed package. */
export function buildCommand(name: 'sqlite3', manager: PackageManager = packageManager()): string {
  switch (manager) {
    case 'npm':
      // npm 12 blocks an install script that is not approved. npm 11 reports that there is nothing to approve.
      return `npm approve-scripts ${name} && npm rebuild ${name}`;
    case 'pnpm':
      return `pnpm approve-builds ${name}`;
    case 'yarn':
      return `yarn rebuild ${name} (yarn 4: with dependenciesMeta.${name}.built: true in package.json; yarn 1: yarn install --force)`;
    case 'bun':
      return `bun pm trust ${name}`;
    case 'deno':
      return `deno install --allow-scripts=npm:${name}`;
  }
}

const LOCK_FILES: readonly (readonly [string, PackageManager])[] = [
  ['pnpm-lock.yaml', 'pnpm'],
  ['yarn.lock', 'yarn'],
  ['bun.lock', 'bun'],
  ['bun.lockb', 'bun'],
  ['package-lock.json', 'npm'],
  ['npm-shrinkwrap.json', 'npm'],
  ['deno.lock', 'deno'],
];

/**
 * The package manager that started this process. Otherwise that of the project: from the `packageManager` field of its
 * package.json or from its lock file, in the nearest directory that has one. Otherwise npm.
 */
export function packageManager(
  userAgent: string | undefined = process.env['npm_config_user_agent'],
  directory: string = process.cwd(),
): PackageManager {
  const starter = managerOf(userAgent);
  if (starter !== undefined) return starter;
  for (let from = directory; ; from = dirname(from)) {
    const found =
      declared(join(from, 'package.json')) ?? LOCK_FILES.find(([file]) => existsSync(join(from, file)))?.[1];
    if (found !== undefined) return found;
    if (dirname(from) === from) return 'npm';
  }
}

/** The package manager from a package.json; `undefined` if the field is missing, or the file cannot be read. */
function declared(file: string): PackageManager | undefined {
  try {
    const { packageManager: value } = JSON.parse(readFileSync(file, 'utf8')) as { packageManager?: unknown };
    return managerOf(value);
  } catch {
    return undefined;
  }
}

/** Parses `pnpm/12.21.0 npm/? node/v24.21.0 linux x64` or `pnpm@12.21.0`. */
function managerOf(text: unknown): PackageManager | undefined {
  const [, name] = /^(npm|pnpm|yarn|bun|deno)[/@]/.exec(String(text)) ?? [];
  return name as PackageManager | undefined;
}
