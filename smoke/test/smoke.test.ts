import { describe, expect, test } from 'vitest';
import { fetched } from './fetched.ts';
import { installed, pnpm, run } from './installed.ts';

/** `pnpm test` tries the one that runs it and the lowest, `pnpm test:long` every one. */
const isFull = process.env['NODES'] === 'all';
const lowest = await fetched('node-22.16');
const nodes: readonly (readonly [string, string | undefined])[] = [
  ...(isFull ? [['v22', await fetched('node-22')] as const] : []),
  ['v24', process.execPath],
  ...(isFull ? [['v26', await fetched('node-26')] as const] : []),
];

describe.skipIf(pnpm === undefined)('the packages, packed and installed', () => {
  const packages = installed();

  describe.each(nodes)('Node.js %s', (version, node) => {
    test.skipIf(node === undefined)('is the one that runs', async () => {
      const { stdout } = await run(String(node), ['--version']);
      expect(stdout.startsWith(`${version}.`)).toBe(true);
    });

    describe.skipIf(node === undefined).each([
      ['import', 'esm.mjs'],
      ['require', 'cjs.cjs'],
    ])('%s', (_system, script) => {
      test.each(['core', 'sight', 'fastify', 'hono', 'express', 'inspector'])(
        '%s works and lets the process end',
        async (name) => {
          await packages.check(node, script, name);
        },
      );
    });

    test.skipIf(node === undefined)('core works with --permission and --allow-worker', async () => {
      const flags = ['--permission', '--allow-worker', '--allow-fs-read=*', '--allow-fs-write=*'];
      // Node.js warns of --allow-worker itself.
      await packages.check(node, ...flags, '--disable-warning=SecurityWarning', 'esm.mjs', 'core');
    });
  });

  test.skipIf(lowest === undefined)('core works with the lowest version of Node.js', async () => {
    const { stdout } = await run(String(lowest), ['--version']);
    expect(stdout).toMatch(/^v22\.16\./);
    await packages.check(lowest, 'esm.mjs', 'core');
  });
});
