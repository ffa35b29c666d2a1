/**
 * Mutation testing of core: `pnpm test:mutation`, which takes a long while. A mutant is a small change to the source that some test should
 * notice; the score is the share that was noticed.
 *
 * @type {import('@stryker-mutator/api/core').PartialStrykerOptions}
 */
export default {
  packageManager: 'pnpm',
  testRunner: 'vitest',
  // By name: pnpm keeps plugins where a search does not find them.
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'packages/core/vitest.mutation.config.ts' },
  // The driver and its errors are tried on real files, which these runs leave out.
  mutate: ['packages/core/src/*.ts', '!packages/core/src/{index,errors}.ts'],
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
