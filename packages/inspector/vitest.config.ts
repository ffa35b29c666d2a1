import { build } from 'esbuild';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { PAGE_MODULE, pageModule } from './page-build.ts';

const config: ViteUserConfig = defineConfig({
  plugins: [
    {
      name: 'page',
      load: async (id) => (PAGE_MODULE.test(id) ? await pageModule(build, id) : undefined),
    },
  ],
  // It would keep an old page: it does not know of which files that module is made.
  test: { fsModuleCache: false },
});

export default config;
