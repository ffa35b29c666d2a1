import { execFile } from 'node:child_process';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build } from 'esbuild';
import { rolldown } from 'rolldown';
import { rollup } from 'rollup';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import webpack from 'webpack';
import { install, PNPM_12 } from './application.ts';
import { fetched } from './fetched.ts';
import { startRegistry } from './registry.ts';

const run = promisify(execFile);
const SMOKE = join(import.meta.dirname, '..');

/** What an application that uses all packages has, in the versions of this one. */
const PACKAGES = [
  ...['core', 'fastify', 'hono', 'express'].map((name) => `@sqlite-pool/${name}`),
  ...['fastify@5.12.8', 'hono@4.13.19', 'express@5.3.0'],
  ...['typescript@5.9.3', '@types/node@24.19.2', '@types/express@5.0.6'],
];

const pnpm = await fetched('pnpm-12');
const lowest = await fetched('node-22.16');
const nodes = [
  ['v22', await fetched('node-22')],
  ['v24', process.execPath],
  ['v26', await fetched('node-26')],
] as const;

describe.skipIf(pnpm === undefined)('the packages, packed and installed', () => {
  let folder: string;
  beforeAll(async () => {
    const registry = await startRegistry(String(pnpm));
    folder = await install(PNPM_12, String(pnpm), registry, PACKAGES);
    await registry.close();
    await cp(join(SMOKE, 'src'), folder, { recursive: true });
  }, 120_000);
  afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));

  /** Runs one check, which must work without a word and let its process end. */
  async function check(node: string | undefined, ...args: string[]): Promise<void> {
    const { stdout, stderr } = await run(String(node), args, { cwd: folder, timeout: 30_000 });
    expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
  }

  describe.each(nodes)('Node.js %s', (version, node) => {
    test.skipIf(node === undefined)('is the one that runs', async () => {
      const { stdout } = await run(String(node), ['--version']);
      expect(stdout.startsWith(`${version}.`)).toBe(true);
    });

    describe.skipIf(node === undefined).each([
      ['import', 'esm.mjs'],
      ['require', 'cjs.cjs'],
    ])('%s', (_system, script) => {
      test.each(['core', 'fastify', 'hono', 'express'])('%s works and lets the process end', async (name) => {
        await check(node, script, name);
      });
    });

    test.skipIf(node === undefined)('core works with --permission and --allow-worker', async () => {
      const flags = ['--permission', '--allow-worker', '--allow-fs-read=*', '--allow-fs-write=*'];
      // Node.js warns of --allow-worker itself.
      await check(node, ...flags, '--disable-warning=SecurityWarning', 'esm.mjs', 'core');
    });
  });

  test.skipIf(lowest === undefined)('core works with the lowest version of Node.js', async () => {
    const { stdout } = await run(String(lowest), ['--version']);
    expect(stdout).toMatch(/^v22\.16\./);
    await check(lowest, 'esm.mjs', 'core');
  });

  test.each([
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by esbuild, as %s', async (format, extension) => {
    const outfile = join(folder, 'bundled', `esbuild.${extension}`);
    await build({
      entryPoints: [join(folder, 'bundle.mjs')],
      outfile,
      bundle: true,
      minify: true,
      keepNames: true,
      platform: 'node',
      format,
      external: ['sqlite3'],
      logLevel: 'error',
    });
    await check(process.execPath, outfile);
  });

  test.each([
    ['es', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by rolldown, as %s', async (format, extension) => {
    const input = join(folder, 'bundle.mjs');
    const bundle = await rolldown({ input, platform: 'node', external: ['sqlite3'] });
    const file = join(folder, 'bundled', `rolldown.${extension}`);
    await bundle.write({ file, format, minify: true, inlineDynamicImports: true });
    await bundle.close();
    await check(process.execPath, file);
  });

  test.each([
    ['es', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by rollup, as %s', async (format, extension) => {
    const input = join(folder, 'bundle.mjs');
    const bundle = await rollup({ input, plugins: [nodeResolve()], external: [/^node:/, 'sqlite3'] });
    const file = join(folder, 'bundled', `rollup.${extension}`);
    await bundle.write({ file, format, inlineDynamicImports: true });
    await bundle.close();
    await check(process.execPath, file);
  });

  test.each([
    ['module', 'mjs'],
    ['commonjs2', 'cjs'],
  ] as const)('core works bundled by webpack, as %s', async (type, extension) => {
    const compiler = webpack({
      mode: 'production',
      target: 'node22',
      context: folder,
      entry: join(folder, 'bundle.mjs'),
      experiments: { outputModule: type === 'module' },
      output: { path: join(folder, 'bundled'), filename: `webpack.${extension}`, library: { type } },
      externals: { sqlite3: 'node-commonjs sqlite3' },
    });
    const stats = await promisify(compiler.run.bind(compiler))();
    expect(stats?.toString({ all: false, errors: true, warnings: true })).toBe('');
    await promisify(compiler.close.bind(compiler))();
    await check(process.execPath, join(folder, 'bundled', `webpack.${extension}`));
  });

  test.each(['mts', 'cts'])('its types are those of a program of TypeScript: %s', async (extension) => {
    const program = join(folder, 'types', extension);
    await mkdir(program, { recursive: true });
    await cp(join(SMOKE, 'src', 'types', `program.${extension}`), join(program, `program.${extension}`));
    const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, noEmit: true };
    const config = { compilerOptions: { ...compilerOptions, skipLibCheck: false, types: ['node'] } };
    await writeFile(join(program, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(folder, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [tsc, '--project', program], { cwd: folder }).catch(
      (error: unknown) => error as { stdout: string },
    );
    expect(stdout).toBe('');
  });
});
