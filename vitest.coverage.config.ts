import { defineConfig } from 'vitest/config';

/** `pnpm test:coverage`: every branch of core is taken by some test, or has its reason beside it. */
export default defineConfig({
  test: {
    root: './packages/core',
    include: ['test/**/*.test.ts'],
    exclude: ['test/cluster/**'],
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // Some branches are taken by random schedules only.
    env: { RUNS_SHARE: '1' },
    testTimeout: 30_000,
    restoreMocks: true,
    coverage: {
      enabled: true,
      include: ['src/**/*.ts'],
      // Types, and names passed on: there is nothing in them to run.
      exclude: ['src/driver.ts', 'src/index.ts', 'src/testing/index.ts', 'src/testing/plugin/contract.ts'],
      reporter: ['text', 'html', 'json'],
      reportsDirectory: '../../coverage',
      reportOnFailure: true,
      thresholds: { branches: 100, functions: 100, lines: 100, statements: 100 },
    },
  },
});
