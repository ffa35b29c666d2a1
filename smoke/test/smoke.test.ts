import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { describe, expect, test } from 'vitest';

const run = promisify(execFile);
const bin = process.platform === 'win32' ? 'node.exe' : 'node';

describe.each([
  ['v20', at(`../node_modules/node-20/bin/${bin}`)],
  ['v22', at(`../node_modules/node-22/bin/${bin}`)],
  ['v24', process.execPath],
])('Node.js %s', (version, node) => {
  test('is the one that runs', async () => {
    const { stdout } = await run(node, ['--version']);
    expect(stdout).toMatch(new RegExp(`^${version}\\.`));
  });

  describe.each([
    ['import', at('../src/esm.mjs')],
    ['require', at('../src/cjs.cjs')],
  ])('%s', (_system, script) => {
    test.each(['core', 'fastify', 'hono', 'express'])('%s works and lets the process end', async (check) => {
      const { stdout, stderr } = await run(node, [script, check], { timeout: 30_000 });
      expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
    });
  });
});

function at(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}
