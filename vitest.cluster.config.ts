import { defineConfig } from 'vitest/config';

/** Long tests against real libSQL servers, which are killed, frozen and isolated: `pnpm test:cluster`. */
export default defineConfig({
  test: {
    root: './packages/core',
    include: ['test/cluster/**/*.test.ts'],
    pool: 'forks',
    // One machine stands for a cluster: one file at a time has it for itself.
    fileParallelism: false,
    testTimeout: 180_000,
    hookTimeout: 30_000,
  },
});
