/**
 * Mutation testing of core: `pnpm test:mutation`, which takes a long while. A mutant is a small change to the source
 * that some test should notice; the score is the share that was noticed.
 */
export default {
  packageManager: 'pnpm',
  testRunner: 'vitest',
  // By name: pnpm keeps plugins where a search does not find them.
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'vitest.mutation.config.ts' },
  // What leases, waits and locks. For another part: pnpm test:mutation --mutate packages/core/src/connection/session.ts
  mutate: [
    'packages/core/src/{engine,waiting}/*.ts',
    'packages/core/src/connection/{call-queue,cursors,transaction-state,write-lock}.ts',
  ],
  // The texts of messages are for people; tests look at codes.
  mutator: { excludedMutations: ['StringLiteral'] },
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: 2,
  timeoutMS: 5_000,
  reporters: ['progress', 'clear-text', 'html', 'json'],
  htmlReporter: { fileName: 'reports/mutation.html' },
  jsonReporter: { fileName: 'reports/mutation.json' },
  tempDirName: '.stryker-tmp',
  ignorePatterns: ['coverage', 'reports', 'examples', 'smoke', 'docs'],
};
