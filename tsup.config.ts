import { dirname, join } from 'node:path';
import { defineConfig, type Options } from 'tsup';
import { PAGE_MODULE, pageModule } from './packages/inspector/page-build.ts';

/** Of esbuild, which tsup brings, what is used here. */
type Plugin = NonNullable<Options['esbuildPlugins']>[number];

/**
 * Puts the bundled code of core's worker into the module that stands for it. As a string it survives every bundler of
 * applications, which the URL of a file does not.
 */
const workerCode: Plugin = {
  name: 'worker-code',
  setup(build) {
    build.onLoad({ filter: /[\\/]drivers[\\/]worker[\\/]code\.ts$/ }, async ({ path }) => {
      const { outputFiles } = await build.esbuild.build({
        entryPoints: [join(dirname(path), 'inside', 'main.ts')],
        bundle: true,
        write: false,
        format: 'cjs',
        platform: 'node',
        target: 'node22',
      });
      return {
        contents: `export const WORKER_CODE = ${JSON.stringify(outputFiles[0]?.text)};`,
        loader: 'ts',
      };
    });
  },
};

/** Puts the page of the inspector into the module that stands for it. */
const page: Plugin = {
  name: 'page',
  setup(build) {
    build.onLoad({ filter: PAGE_MODULE }, async ({ path }) => ({
      contents: await pageModule(build.esbuild.build, path),
      loader: 'ts',
    }));
  },
};

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
  esbuildPlugins: [workerCode, page],
  esbuildOptions(options) {
    // A stack trace needs names and lines. The sources would be most of what a user downloads.
    options.sourcesContent = false;
  },
  silent: true,
});
