import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { column, documentedColumn, SUITE } from '../../../../../conformance/plugin-table.ts';
import { pluginCases, type PluginAbility, type StartPlugin } from '../../../src/testing/index.ts';
import { everything, starter } from './every-ability.ts';
import { can, start } from './http.ts';

function runAll(start: StartPlugin, can: readonly PluginAbility[]): void {
  for (const { group, title, needs, run } of pluginCases) {
    const lacks = needs.filter((need) => !can.includes(need));
    it(`${group}: ${title}`, async ({ skip }) => {
      skip(lacks.length > 0, `does not apply: ${lacks.join(', ')}`);
      await expect(run(start)).resolves.toBeUndefined();
    });
  }
}

describe.concurrent(`${SUITE}node:http`, () => {
  runAll(start, can);
});

it('docs/testing.md says which cases apply to node:http, and shows its plugin', async () => {
  expect(await documentedColumn('node:http')).toEqual(column(pluginCases, can));
  const docs = await readFile(join(import.meta.dirname, '../../../../../docs/testing.md'), 'utf8');
  const source = await readFile(join(import.meta.dirname, 'http.ts'), 'utf8');
  const published = source
    .replace('../../../src/index.ts', '@sqlite-pool/core')
    .replace('../../../src/plugin.ts', '@sqlite-pool/core/plugin')
    .replace('../../../src/request/held-response.ts', '@sqlite-pool/core/held-response')
    .replace('../../../src/testing/index.ts', '@sqlite-pool/core/testing');
  expect(docs).toContain(published);
});

describe.concurrent('a server that can do whatever a framework can do', () => {
  runAll(starter(), everything);
});
