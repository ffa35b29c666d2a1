import { execFile } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect } from 'vitest';
import { install, PNPM_12 } from './application.ts';
import { fetched } from './fetched.ts';
import { startRegistry } from './registry.ts';

export const run = promisify(execFile);
export const SMOKE = join(import.meta.dirname, '..');

/** What an application that uses all packages has, in the versions of this one. */
const PACKAGES = [
  ...['core', 'fastify', 'hono', 'express', 'inspector'].map((name) => `@sqlite-pool/${name}`),
  ...['fastify@5.12.8', 'hono@4.13.19', 'express@5.3.0'],
  ...['@opentelemetry/api@1.10.0', 'prom-client@15.1.3'],
  ...['typescript@5.9.3', '@types/node@24.19.2', '@types/express@5.0.6'],
];

/** Without it nothing can be packed and installed. */
export const pnpm: string | undefined = await fetched('pnpm-12');

/** The packages, packed and installed beside the programs of `src`. */
export interface Installed {
  /** Known when the tests run. */
  readonly folder: string;
  /** Runs one check, which must work without a word and let its process end. */
  readonly check: (node: string | undefined, ...args: string[]) => Promise<void>;
}

/** Installs the packages before the tests that are declared beside this call, and removes them after those. */
export function installed(): Installed {
  let folder = '';
  beforeAll(async () => {
    const registry = await startRegistry(String(pnpm));
    folder = await install(PNPM_12, String(pnpm), registry, PACKAGES);
    await registry.close();
    await cp(join(SMOKE, 'src'), folder, { recursive: true });
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return {
    get folder() {
      return folder;
    },
    async check(node, ...args) {
      const { stdout, stderr } = await run(String(node), args, { cwd: folder, timeout: 30_000 });
      expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
    },
  };
}
