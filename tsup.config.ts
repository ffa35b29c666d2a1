import { defineConfig } from 'tsup';

/** Every package builds with this: `tsup <entries> --config ../../tsup.config.ts`. */
export default defineConfig({
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  clean: true,
  sourcemap: true,
  // The entries of one package share chunks in CommonJS too: one copy of each class and of each registry.
  splitting: true,
  // tsup then writes CommonJS with rollup instead of sucrase, which would turn `import('sqlite3')` into `require`.
  treeshake: true,
  // Or `node:sqlite`, which exists only under that name, would lose its prefix.
  removeNodeProtocol: false,
  silent: true,
});
