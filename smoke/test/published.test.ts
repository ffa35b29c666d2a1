import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';

const ROOT = new URL('../../', import.meta.url);
const GITHUB = 'https://github.com/sqlite-pool/sqlite-pool';

interface Manifest {
  readonly files: readonly string[];
  readonly keywords: readonly string[];
}

/** What npm puts into every package, whatever `files` says. */
const ALWAYS = ['package.json', 'README.md', 'LICENSE'];

describe.each(await readdir(new URL('packages/', ROOT)))('%s, as it is published,', (name) => {
  const folder = new URL(`packages/${name}/`, ROOT);
  const read = async (path: string): Promise<string> => await readFile(new URL(path, folder), 'utf8');
  const readManifest = async (): Promise<Manifest> => JSON.parse(await read('package.json')) as Manifest;

  test('has the license of the repository', async () => {
    expect(await read('LICENSE')).toBe(await readFile(new URL('LICENSE', ROOT), 'utf8'));
    expect((await readManifest()).files).toEqual(expect.arrayContaining(['dist', 'LICENSE', 'README.md']));
  });

  test('says where it comes from', async () => {
    const manifest = await readManifest();
    expect(manifest).toMatchObject({
      name: `@sqlite-pool/${name}`,
      homepage: `${GITHUB}/blob/main/packages/${name}/README.md`,
      bugs: { url: `${GITHUB}/issues` },
      repository: { type: 'git', url: `git+${GITHUB}.git`, directory: `packages/${name}` },
      license: 'MIT',
      author: 'The sqlite-pool authors',
      publishConfig: { access: 'public' },
    });
    expect(manifest.keywords).toContain('sqlite');
    expect(new Set(manifest.keywords).size).toBe(manifest.keywords.length);
  });

  test('has a README without links to what is not in the package', async () => {
    const packed = [...(await readManifest()).files, ...ALWAYS];
    const links = (await read('README.md')).matchAll(
      /\]\((?!https?:|#)([^)]+)\)|(?:src|href|srcset)="(?!https?:|#)([^"]+)"/g,
    );
    const missing = Array.from(links, ([, link = '', attribute = '']) => link + attribute).filter(
      (path) => !packed.some((each) => path === each || path.startsWith(`${each}/`)),
    );
    expect(missing).toEqual([]);
  });

  test('has source maps with names and lines, and without the sources', async () => {
    const dist = await readdir(new URL('dist/', folder), { recursive: true });
    const maps = dist.filter((path) => path.endsWith('.map'));
    expect(maps).toEqual(expect.arrayContaining(['index.js.map', 'index.cjs.map']));
    for (const path of maps) {
      const map = JSON.parse(await read(`dist/${path}`)) as { sourcesContent?: (string | null)[] };
      expect({ path, contents: map.sourcesContent?.filter((text) => text !== null) ?? [] }).toEqual({
        path,
        contents: [],
      });
    }
    // The index of core only names what is in the chunks.
    const texts = await Promise.all(maps.map((path) => read(`dist/${path}`)));
    const lines = texts.map((text) => (JSON.parse(text) as { mappings: string }).mappings);
    expect(lines.some((mappings) => mappings !== '')).toBe(true);
  });
});
