import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// Hundreds of processes and threads of the tests start from sources in TypeScript: each is compiled once.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'compiled');

/**
 * One after the other, and so many files of each at a time. More files than cores made tests fail that hold calls to some
 * milliseconds.
 */
const first = { sequence: { groupOrder: 1 }, maxWorkers: availableParallelism() };
// These start a process per test.
const last = { sequence: { groupOrder: 2 }, maxWorkers: 2 };
// These count and measure.
const veryLast = { sequence: { groupOrder: 3 }, maxWorkers: 1 };

/** These look into the sqlite3 package, or are about its threads. */
const ON_SQLITE3 = ['big-values', 'dead-handle', 'driver', 'opens-end', 'proto-column', 'threads'].map(
  (name) => `test/sqlite/${name}.test.ts`,
);

/** These hold calls to some milliseconds, which nothing else must take from them. */
const ALONE = ['test/drivers/worker/endless.test.ts'];

/** One run over the whole workspace: `pnpm test`, or one package of it with `pnpm test --project 'core*'`. */
export default defineConfig({
  test: {
    reporters: process.env['CI'] ? ['default', 'json'] : ['default'],
    outputFile: { json: 'reports/vitest.json' },
    projects: [
      // Leak tests collect garbage themselves.
      {
        test: {
          ...project('core'),
          execArgv: ['--expose-gc'],
          // pnpm test:cluster runs those of the cluster: they take minutes.
          exclude: [...ON_SQLITE3, ...ALONE, 'test/cluster/**'],
        },
      },
      { test: { ...project('core'), ...veryLast, name: 'core-alone', include: ALONE } },
      // Once more, with sqlite3 as the driver of `filename`.
      {
        test: {
          ...project('core'),
          name: 'core-sqlite3',
          include: ['test/sqlite/**/*.test.ts'],
          execArgv: ['--expose-gc'],
        },
        resolve: {
          alias: [
            {
              find: /^\.\/drivers\/worker\/node-sqlite\.ts$/,
              replacement: `${import.meta.dirname}/packages/core/test/drivers/sqlite3/default-driver.ts`,
            },
          ],
        },
      },
      { test: project('fastify') },
      { test: { ...project('hono'), exclude: ['test/lowest/**'] } },
      // Hono is imported by the plugin itself; the other frameworks are given to the tests.
      {
        test: { ...project('hono'), name: 'hono-4.0', include: ['test/lowest/**/*.test.ts'] },
        resolve: { alias: [{ find: /^hono(?=\/|$)/, replacement: 'hono-4.0' }] },
      },
      { test: project('express') },
      { test: project('interrupt') },
      { extends: './packages/inspector/vitest.config.ts', test: project('inspector') },
      {
        extends: './examples/vitest.config.ts',
        test: { name: 'examples', root: './examples', ...first },
      },
      // Once more, on a libSQL server: what is not about files.
      {
        extends: './examples/vitest.config.ts',
        test: {
          name: 'examples-libsql',
          root: './examples',
          include: ['test/{api,together,trouble}.test.ts'],
          ...first,
        },
        resolve: {
          alias: [
            {
              find: /^\.\/database\.ts$/,
              replacement: `${import.meta.dirname}/examples/test/server-database.ts`,
            },
          ],
        },
      },
      {
        test: {
          ...common('smoke'),
          ...last,
          root: './smoke',
          // pnpm test:long runs it, and more of what the others do a part of.
          exclude: ['test/built.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: './benchmarks/vitest.config.ts',
        test: { name: 'benchmarks', root: './benchmarks', ...veryLast },
      },
    ],
  },
});

function project(name: string) {
  return { ...common(name), root: `./packages/${name}` };
}

function common(name: string) {
  return {
    name,
    include: ['{src,test}/**/*.test.ts'],
    pool: 'forks' as const,
    ...first,
    testTimeout: 15_000,
    hookTimeout: 15_000,
    // Each may keep one of the four threads of libuv busy and need another.
    maxConcurrency: 3,
    // A mock, a fake timer or a global that outlives its test makes another one lie.
    restoreMocks: true,
    unstubGlobals: true,
    unstubEnvs: true,
  };
}
