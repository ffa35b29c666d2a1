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
  // What lends, waits, begins and ends. The reading of SQL and the driver are held by comparisons with SQLite itself,
  // which are too slow to repeat for each mutant.
  mutate: [
    'packages/core/src/{wait-queue,gate,write-gate,deadline,limits,entries,resource-pool}.ts',
    'packages/core/src/{call-queue,cursors,transaction-state,session,transaction,lease,leases,database,pool}.ts',
  ],
  // The texts of messages are for people; tests look at codes.
  mutator: { excludedMutations: ['StringLiteral'] },
  coverageAnalysis: 'perTest',
  ignoreStatic: true,
  concurrency: 2,
  timeoutMS: 10_000,
  reporters: ['progress', 'clear-text', 'html', 'json'],
  htmlReporter: { fileName: 'reports/mutation.html' },
  jsonReporter: { fileName: 'reports/mutation.json' },
  tempDirName: '.stryker-tmp',
  ignorePatterns: ['coverage', 'reports', 'examples', 'smoke', 'docs'],
};
