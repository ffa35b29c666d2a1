import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Longer than they wait for the programs that they start.
    testTimeout: 60_000,
    hookTimeout: 15_000,
    restoreMocks: true,
  },
});
