import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The commands that bring a missing driver, in the words of the package manager in use: someone who reads "npm install" in a
 * pnpm workspace and does it has two lock files.
 */
export type PackageManager = 'npm' | 'pnpm' | 'yarn' | 'bun' | 'deno';

/** Those whose install script must be allowed. */
type Package = 'better-sqlite3' | 'sqlite3';

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

/** The command that runs the install script of a package that is there already. */
export function buildCommand(name: 'sqlite3', manager: PackageManager = packageManager()): string {
  switch (manager) {
    case 'npm':
      // npm 12 has blocked it unless it was approved; npm 11 says that there is nothing to approve.
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
 * The package manager that started this process, or else that of the project: by the `packageManager` of its package.json
 * or by its lock file, in the nearest directory that has one. npm if nothing says otherwise.
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

/** What `packageManager` says in a package.json; `undefined` if that is nothing, or the file cannot be read. */
function declared(file: string): PackageManager | undefined {
  try {
    const { packageManager: value } = JSON.parse(readFileSync(file, 'utf8')) as { packageManager?: unknown };
    return managerOf(value);
  } catch {
    return undefined;
  }
}

/** Of `pnpm/12.21.0 npm/? node/v24.21.0 linux x64`, or of `pnpm@12.21.0`. */
function managerOf(text: unknown): PackageManager | undefined {
  const [, name] = /^(npm|pnpm|yarn|bun|deno)[/@]/.exec(String(text)) ?? [];
  return name as PackageManager | undefined;
}
