import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nodeResolve } from '@rollup/plugin-node-resolve';
import { build } from 'esbuild';
import { rolldown } from 'rolldown';
import { rollup } from 'rollup';
import { describe, expect, test } from 'vitest';
import webpack from 'webpack';
import { installed, pnpm, run, SMOKE } from './installed.ts';

// pnpm test:long runs these: bundlers and compilers take their time.
describe.skipIf(pnpm === undefined)('the packages, built into programs', () => {
  const packages = installed();

  test.each([
    ['esm', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by esbuild, as %s', async (format, extension) => {
    const outfile = join(packages.folder, 'bundled', `esbuild.${extension}`);
    await build({
      entryPoints: [join(packages.folder, 'bundle.mjs')],
      outfile,
      bundle: true,
      minify: true,
      keepNames: true,
      platform: 'node',
      format,
      external: ['sqlite3'],
      logLevel: 'error',
    });
    await packages.check(process.execPath, outfile);
  });

  test.each([
    ['es', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by rolldown, as %s', async (format, extension) => {
    const input = join(packages.folder, 'bundle.mjs');
    const bundle = await rolldown({ input, platform: 'node', external: ['sqlite3'] });
    const file = join(packages.folder, 'bundled', `rolldown.${extension}`);
    await bundle.write({ file, format, minify: true, inlineDynamicImports: true });
    await bundle.close();
    await packages.check(process.execPath, file);
  });

  test.each([
    ['es', 'mjs'],
    ['cjs', 'cjs'],
  ] as const)('core works bundled by rollup, as %s', async (format, extension) => {
    const input = join(packages.folder, 'bundle.mjs');
    const bundle = await rollup({ input, plugins: [nodeResolve()], external: [/^node:/, 'sqlite3'] });
    const file = join(packages.folder, 'bundled', `rollup.${extension}`);
    await bundle.write({ file, format, inlineDynamicImports: true });
    await bundle.close();
    await packages.check(process.execPath, file);
  });

  test.each([
    ['module', 'mjs'],
    ['commonjs2', 'cjs'],
  ] as const)('core works bundled by webpack, as %s', async (type, extension) => {
    const compiler = webpack({
      mode: 'production',
      target: 'node22',
      context: packages.folder,
      entry: join(packages.folder, 'bundle.mjs'),
      experiments: { outputModule: type === 'module' },
      output: { path: join(packages.folder, 'bundled'), filename: `webpack.${extension}`, library: { type } },
      externals: { sqlite3: 'node-commonjs sqlite3' },
    });
    const stats = await promisify(compiler.run.bind(compiler))();
    expect(stats?.toString({ all: false, errors: true, warnings: true })).toBe('');
    await promisify(compiler.close.bind(compiler))();
    await packages.check(process.execPath, join(packages.folder, 'bundled', `webpack.${extension}`));
  });

  test.each(['mts', 'cts'])('its types are those of a program of TypeScript: %s', async (extension) => {
    const program = join(packages.folder, 'types', extension);
    await mkdir(program, { recursive: true });
    await cp(join(SMOKE, 'src', 'types', `program.${extension}`), join(program, `program.${extension}`));
    const compilerOptions = { module: 'nodenext', target: 'es2023', strict: true, noEmit: true };
    const config = { compilerOptions: { ...compilerOptions, skipLibCheck: false, types: ['node'] } };
    await writeFile(join(program, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(packages.folder, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [tsc, '--project', program], {
      cwd: packages.folder,
    }).catch((error: unknown) => error as { stdout: string });
    expect(stdout).toBe('');
  });
});
