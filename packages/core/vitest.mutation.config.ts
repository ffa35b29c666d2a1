import { defineConfig } from 'vitest/config';

/** The tests a mutant must survive: all of core but those that start processes, which would take hours. */
export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['{src,test}/**/*.test.ts'],
    exclude: [
      'test/crash/**',
      'test/sqlite/{other-process,full-disk,shutdown,opening,leaks,file-replaced}.test.ts',
    ],
    pool: 'forks',
    testTimeout: 15_000,
  },
});
