import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Many start programs of their own, two at a time.
    testTimeout: 60_000,
    hookTimeout: 15_000,
    restoreMocks: true,
  },
});
