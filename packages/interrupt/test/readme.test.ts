import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';

const README = new URL('../README.md', import.meta.url);
const SOURCE = new URL('../src/index.ts', import.meta.url);

/** Exits once an endless statement runs. */
const EXIT = `
run(endless).catch(() => {});
setInterval(() => {
  if (Atomics.load(running, 0) === lastId) process.exit();
});
`;

test('the example of the README cancels a call, goes on, and exits while an endless statement runs', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const examples = (await readFile(README, 'utf8')).matchAll(/^```js\n\/\/ (\w+\.mjs)\n([^]*?)^```$/gm);
  for (const [, name = '', code = ''] of examples) {
    const program = code.replace("'@sqlite-pool/interrupt'", JSON.stringify(SOURCE.href));
    await writeFile(join(folder, name), name === 'main.mjs' ? program + EXIT : program);
  }
  const child = spawn(process.execPath, ['main.mjs'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const exit = once(child, 'exit');
  const output = await text(child.stdout);
  const [code] = (await exit) as [number];
  expect(output).toBe('interrupted\n[ { one: 1 } ]\n');
  expect(code).toBe(0);
});
