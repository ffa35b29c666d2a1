import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type * as esbuild from 'esbuild';

/** What goes into the module at `path`, which stands for the page. `build` is that of esbuild. */
export async function pageModule(build: typeof esbuild.build, path: string): Promise<string> {
  const source = dirname(path);
  const bundled = async (file: string): Promise<string> => {
    const { outputFiles } = await build({
      entryPoints: [join(source, 'page', file)],
      bundle: true,
      write: false,
      minify: true,
      format: 'esm',
      target: ['chrome111', 'firefox113', 'safari16.4'],
      charset: 'utf8',
      legalComments: 'none',
    });
    return String(outputFiles[0]?.text).trim();
  };
  const [html, css, js, manifest] = await Promise.all([
    readFile(join(source, 'page', 'index.html'), 'utf8'),
    bundled('style.css'),
    bundled('main.ts'),
    readFile(join(source, '..', 'package.json'), 'utf8'),
  ]);
  const { version } = JSON.parse(manifest) as { readonly version: string };
  return `export const PAGE = ${JSON.stringify({ html, css, js, version })};`;
}

/** Whether a path is that of the module which the page replaces. */
export const PAGE_MODULE: RegExp = /[\\/]inspector[\\/]src[\\/]page\.ts$/;
