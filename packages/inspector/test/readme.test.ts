import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runExample } from '../../../conformance/readme-example.ts';

const PACKAGE = join(import.meta.dirname, '..');

it("the README's example runs as it stands, and stops", async () => {
  const { url, stop } = await runExample(PACKAGE);
  expect(await (await fetch(url)).text()).toContain('<title>sqlite-pool</title>');
  const state = await (await fetch(`${url}/state.json`)).json();
  expect(state).toMatchObject({ pool: { name: 'notes.db', driver: 'node:sqlite' } });
  expect(await stop()).toBe(0);
});

it('the lines that mount it in a framework are those that mounts.test.ts runs', async () => {
  const [readme, tests] = await Promise.all(
    ['README.md', 'test/mounts.test.ts'].map((path) => readFile(join(PACKAGE, path), 'utf8')),
  );
  for (const line of [
    "app.register(inspector.fastify, { prefix: '/sqlite' });",
    "app.all('/sqlite/*', mount(inspector.fetch));",
    "app.use('/sqlite', inspector.listener);",
  ]) {
    expect(readme).toContain(line);
    expect(tests).toContain(line);
  }
});
