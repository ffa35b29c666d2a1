import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Child, temporaryDirectory } from './helpers.ts';

/** A command that runs the rest of its line with a directory that nothing can be written to. */
function readOnly(directory: string): string[] {
  const script = `mount --bind ${directory} ${directory} && mount -o remount,ro,bind ${directory} && exec "$0" "$@"`;
  return ['unshare', '--mount', 'bash', '-c', script];
}

const canMount = spawnSync('unshare', ['--mount', 'true']).status === 0;
if (!canMount) console.warn('F86 is not tested with a real file system: this user may not mount one.');

test.skipIf(!canMount)(
  'F86 a database on a read-only file system has another reason than one that may not be accessed',
  async () => {
    const directory = await temporaryDirectory();
    const files = ['wal.db', 'rollback.db', 'open.db', 'new.db'].map((name) => join(directory, name));
    const maker = new Child('read-only.ts', ['make', ...files]);
    expect(await maker.exit).toBe(0);
    const child = new Child('read-only.ts', ['use', ...files], { command: readOnly(directory) });
    for (const _ of files) expect(await child.next()).toEqual({ name: 'OpenError', reason: 'read-only' });
    expect(await child.exit).toBe(0);
  },
);
