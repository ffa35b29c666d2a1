import { defineConfig } from 'vitest/config';

/**
 * The tests that a mutant of core is tried on: those with the fake driver and the fake clock, and the small ones. The
 * tests on real files would find more, and take hours.
 */
export default defineConfig({
  test: {
    root: './packages/core',
    include: ['test/**/*.test.ts'],
    exclude: [
      'test/{crash,differential,sqlite}/**',
      'test/{query,request}/**',
      'test/{errors,errors-timeouts,options,options-docs,options-readme}.test.ts',
      'test/pool/driver-cases.test.ts',
      // Compares sources, which mutants are not, with docs.
      'test/testing/plugin/cases.test.ts',
    ],
    env: { RUNS_SHARE: '0.05' },
    testTimeout: 15_000,
  },
});
