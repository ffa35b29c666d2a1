import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { examplesOf, runExamples } from '../../conformance/page-examples.ts';
import { DOCS } from './examples/docs.ts';
import { READMES } from './examples/readmes.ts';

/** Pages whose examples a test of their own runs, and that test. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'README.md': 'packages/core/test/options-readme.test.ts',
  'packages/core/README.md': 'packages/core/test/options-readme.test.ts',
  'packages/interrupt/README.md': 'packages/interrupt/test/readme.test.ts',
};

/** The pages of the project that have examples. */
async function pagesWithExamples(): Promise<string[]> {
  const root = join(import.meta.dirname, '../..');
  const docs = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md'));
  const packages = await readdir(join(root, 'packages'));
  const pages = [
    ...['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'examples/README.md', 'benchmarks/README.md'],
    ...docs.map((name) => `docs/${name}`),
    ...packages.map((name) => `packages/${name}/README.md`),
  ];
  const counts = await Promise.all(pages.map(async (page) => (await examplesOf(page)).length));
  return pages.filter((_page, index) => counts[index] !== 0);
}

test('each page with examples is here, or has a test of its own', async () => {
  const here = [DOCS, READMES, ELSEWHERE].flatMap((pages) => Object.keys(pages));
  expect((await pagesWithExamples()).sort()).toEqual(here.sort());
});

test.for(Object.entries(DOCS))('the examples of %s run as they stand', async ([page, examples]) => {
  await runExamples(page, 'smoke', examples);
});

test.for(Object.entries(READMES))('the examples of %s run as they stand', async ([page, examples]) => {
  await runExamples(page, dirname(page), examples);
});
