import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// As for `pnpm test`.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'compiled');

const common = { pool: 'forks' as const, testTimeout: 120_000, restoreMocks: true };

/**
 * `pnpm test:long`: what `pnpm test` does a part of, or leaves out, because all of it takes minutes. One file at a time has the
 * machine for itself.
 */
export default defineConfig({
  test: {
    fileParallelism: false,
    reporters: process.env['CI'] ? ['default', 'json'] : ['default'],
    outputFile: { json: 'reports/vitest-long.json' },
    projects: [
      {
        test: {
          ...common,
          name: 'core',
          root: './packages/core',
          // All that import test/share.ts.
          include: [
            'test/{differential,histories}/*.test.ts',
            'test/drivers/worker/interrupter.test.ts',
            'test/pool/model.test.ts',
            'test/request/request-lease-schedules.test.ts',
          ],
          exclude: ['test/histories/check.test.ts'],
          env: { RUNS_SHARE: '1' },
        },
      },
      {
        test: {
          ...common,
          name: 'smoke',
          root: './smoke',
          include: ['test/{built,smoke}.test.ts'],
          env: { NODES: 'all' },
        },
      },
      {
        test: {
          ...common,
          name: 'benchmarks',
          root: './benchmarks',
          include: ['test/bench.test.ts'],
          globalSetup: join(import.meta.dirname, 'benchmarks', 'test', 'seed.ts'),
          hookTimeout: 120_000,
          env: { BENCHMARKS: 'all' },
        },
      },
    ],
  },
});
