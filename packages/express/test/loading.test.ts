import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

/** Whether a program that requires `name` has loaded the held response. */
async function loadsHeldResponse(name: string): Promise<boolean> {
  const code = `require('${name}'); console.log(Object.keys(require.cache).some((file) => file.includes('held-response')))`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', code], {
    cwd: join(import.meta.dirname, '..'),
  });
  return stdout.trim() === 'true';
}

it('an application without request-wide transactions does not load the held response', async () => {
  expect(await loadsHeldResponse('@sqlite-pool/express')).toBe(false);
  expect(await loadsHeldResponse('@sqlite-pool/express/transaction')).toBe(true);
});
