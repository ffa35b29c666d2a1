import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import examples from './examples/vitest.config.ts';

// Hundreds of processes and threads of the tests start from sources in TypeScript: each is compiled once.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'compiled');

const CORES = availableParallelism();

/**
 * One group after the other, and so many files of each at a time. More files than cores made tests fail that hold calls to some
 * milliseconds.
 */
const first = { sequence: { groupOrder: 1 }, maxWorkers: CORES };
/** These wait for a process, a browser or the end of a time limit, and hold nothing to some milliseconds. */
const waiting = { sequence: { groupOrder: 2 }, maxWorkers: Math.ceil(1.5 * CORES) };
/** These measure, or hold calls to some milliseconds, which nothing else must take from them. */
const alone = { sequence: { groupOrder: 3 }, maxWorkers: 1 };

/**
 * Files of core that need a process of their own: they watch its memory, its threads or its warnings, replace what others have
 * loaded, or need a process in which no pool was. All others share one, because to start a process takes longer than most of them.
 */
const APART = [
  'test/drivers/open-error.test.ts',
  'test/drivers/sqlite3/threads.test.ts',
  'test/drivers/worker/contract.test.ts',
  'test/pool/long-queues.test.ts',
  'test/query/sql.test.ts',
  'test/sqlite/{big-values,driver,leaks,memory,threads}.test.ts',
  'test/waiting/semaphore.test.ts',
];

/** Files of core that wait. */
const WAITING = [
  'test/drivers/libsql/**/*.test.ts',
  'test/sqlite/{opening,wal-write-lock}.test.ts',
  'test/testing/plugin/mistakes.test.ts',
];

/** Files of core that measure. */
const ALONE = ['test/drivers/worker/endless.test.ts'];

/** These look into the sqlite3 package, or are about its threads. */
const ON_SQLITE3 = ['big-values', 'dead-handle', 'driver', 'opens-end', 'proto-column', 'threads'].map(
  (name) => `test/sqlite/${name}.test.ts`,
);

/** Files on sqlite3 that wait. */
const WAITING_ON_SQLITE3 = ['test/sqlite/{opening,opens-end,wal-write-lock}.test.ts'];

/** One run over the whole workspace: `pnpm test`, or one package of it with `pnpm test --project 'core*'`. */
export default defineConfig({
  test: {
    reporters: process.env['CI'] ? ['default', 'json'] : ['default'],
    outputFile: { json: 'reports/vitest.json' },
    projects: [
      core('core', { include: APART, exclude: ON_SQLITE3 }),
      core('core-together', {
        isolate: false,
        // pnpm test:cluster runs those of the cluster: they take minutes.
        exclude: [...APART, ...WAITING, ...ALONE, ...ON_SQLITE3, 'test/cluster/**'],
      }),
      core('core-waiting', { include: WAITING, isolate: false, ...waiting }),
      core('core-alone', { include: ALONE, ...alone }),
      // Once more, with sqlite3 as the driver of `filename`.
      onSqlite3(core('core-sqlite3', { include: APART.filter((path) => path.includes('/sqlite/')) })),
      onSqlite3(
        core('core-sqlite3-together', {
          isolate: false,
          include: ['test/sqlite/**/*.test.ts'],
          exclude: [...APART, ...WAITING_ON_SQLITE3],
        }),
      ),
      onSqlite3(core('core-sqlite3-waiting', { include: WAITING_ON_SQLITE3, ...waiting })),
      { test: { ...project('fastify'), isolate: false } },
      { test: { ...project('hono'), exclude: ['test/lowest/**'], isolate: false } },
      // Hono is imported by the plugin itself; the other frameworks are given to the tests.
      {
        test: { ...project('hono'), name: 'hono-4.0', include: ['test/lowest/**/*.test.ts'] },
        resolve: { alias: [{ find: /^hono(?=\/|$)/, replacement: 'hono-4.0' }] },
      },
      { test: { ...project('express'), isolate: false } },
      { test: project('interrupt') },
      {
        extends: './packages/inspector/vitest.config.ts',
        test: { ...project('inspector'), ...waiting },
      },
      example('examples', { exclude: ['test/comparison.test.ts'], ...waiting }),
      example('examples-timed', { include: ['test/comparison.test.ts'], ...first }),
      // Once more, on a libSQL server: what is not about files.
      {
        ...example('examples-libsql', { include: ['test/{api,together,trouble}.test.ts'], ...waiting }),
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
          ...waiting,
          root: './smoke',
          // pnpm test:long runs it, and more of what the others do a part of.
          exclude: ['test/built.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: './benchmarks/vitest.config.ts',
        test: { name: 'benchmarks', root: './benchmarks', ...alone },
      },
    ],
  },
});

type Settings = NonNullable<TestProjectInlineConfiguration['test']>;

/** Files of core. Leak tests collect garbage themselves. */
function core(name: string, settings: Settings): TestProjectInlineConfiguration {
  return { test: { ...project('core'), name, execArgv: ['--expose-gc'], ...settings } };
}

function onSqlite3(files: TestProjectInlineConfiguration): TestProjectInlineConfiguration {
  return {
    ...files,
    resolve: {
      alias: [
        {
          find: /^\.\/drivers\/worker\/node-sqlite\.ts$/,
          replacement: `${import.meta.dirname}/packages/core/test/drivers/sqlite3/default-driver.ts`,
        },
      ],
    },
  };
}

/** Not by `extends`, which would add the files to all those of the examples. */
function example(name: string, settings: Settings): TestProjectInlineConfiguration {
  return { test: { ...examples.test, name, root: './examples', ...settings } };
}

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
