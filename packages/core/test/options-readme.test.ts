import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';

const README = new URL('../README.md', import.meta.url);
const FRONT_PAGE = new URL('../../../README.md', import.meta.url);
const SOURCE = new URL('../src/index.ts', import.meta.url);

test('the examples of the README run one after the other, and say what the text says', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const examples = (await readFile(README, 'utf8')).matchAll(/^```js\n([^]*?)^```$/gm);
  const program = Array.from(examples, ([, code = '']) => code)
    .join('\n')
    .replace("'@sqlite-pool/core'", JSON.stringify(SOURCE.href))
    .replace("'app.db'", JSON.stringify(join(directory, 'app.db')));
  const file = join(directory, 'examples.mjs');
  await writeFile(
    file,
    `${program}\nexport { pool, changes, lastInsertRowid, user, users, names, rows, columns };`,
  );

  const results = (await import(file)) as Record<string, unknown>;
  expect(results).toMatchObject({
    pool: { closed: true },
    changes: 2,
    lastInsertRowid: 2,
    user: { id: 2, name: 'Bob', cents: 0 },
    users: [{ name: 'Ada' }, { name: 'Bob' }],
    names: [{ name: 'Ada' }, { name: 'Bob' }],
    columns: ['id', 'id'],
    rows: [
      [1, 1],
      [1, 2],
      [2, 1],
      [2, 2],
    ],
  });
});

test('the ten lines on the front page run as they stand', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [, code = ''] = /^```js\n([^]*?)^```$/m.exec(await readFile(FRONT_PAGE, 'utf8')) ?? [];
  const file = join(directory, 'app.mjs');
  await writeFile(
    file,
    code
      .replace("'@sqlite-pool/core'", JSON.stringify(SOURCE.href))
      .replace("'app.db'", JSON.stringify(join(directory, 'app.db'))),
  );
  const log = vi.spyOn(console, 'log').mockReturnValue();
  await import(file);
  expect(log.mock.calls).toEqual([
    [
      [
        { id: 1, name: 'Ada' },
        { id: 2, name: 'Bob' },
      ],
    ],
  ]);
});
