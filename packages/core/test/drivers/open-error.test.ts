import { access, chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { diagnoseOpenError } from '../../src/drivers/open-error.ts';

/** What SQLite says to nearly everything. */
const CANTOPEN = Object.assign(new Error('unable to open'), { errno: 14 });
const NO_FOLLOWERS = 65_534;
const OTHERS_READ_AND_WRITE = 0o006;

vi.mock('node:fs/promises', { spy: true });

/** The files that the cases are about, by what one may do with them. */
async function files(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  const folders = { open: 0o777, fixed: 0o555, hidden: 0o666, closed: 0o000 };
  onTestFinished(async () => {
    for (const name of Object.keys(folders)) await chmod(join(directory, name), 0o777);
    await rm(directory, { recursive: true });
  });
  for (const [name, mode] of Object.entries(folders)) {
    await mkdir(join(directory, name, 'folder'), { recursive: true });
    await writeFile(join(directory, name, 'app.db'), '');
    await chmod(join(directory, name, 'app.db'), 0o666);
    await chmod(join(directory, name), mode);
  }
  await writeFile(join(directory, 'open', 'read-only.db'), '');
  await chmod(join(directory, 'open', 'read-only.db'), 0o444);
  await chmod(directory, 0o755);
  return directory;
}

/**
 * As one who is not above all permissions. `access` asks for the real user, whom a process cannot take back; all other
 * calls ask for the effective one.
 */
async function unprivileged<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return await work();
  vi.mocked(access).mockImplementation(async (path) => {
    const { mode } = await stat(path);
    if ((mode & OTHERS_READ_AND_WRITE) !== OTHERS_READ_AND_WRITE)
      throw Object.assign(new Error('no'), { code: 'EACCES' });
  });
  process.seteuid?.(NO_FOLLOWERS);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    vi.mocked(access).mockReset();
  }
}

describe('an open that SQLite could not do', () => {
  it.for([
    ['nowhere/app.db', 'missing-directory'],
    ['open/app.db/app.db', 'missing-directory'],
    ['open/folder', 'is-a-directory'],
    ['open/none.db', 'not-permitted'],
    ['open/read-only.db', 'not-permitted'],
    ['fixed/app.db', 'not-permitted'],
    ['hidden/app.db', 'not-permitted'],
    ['closed/folder/app.db', 'not-permitted'],
    // As when the process has too many files open.
    ['open/app.db', 'unknown'],
  ] as const)('F08 of %s is explained as %s', async ([path, reason]) => {
    const directory = await files();
    const error = await unprivileged(() => diagnoseOpenError(join(directory, path), true, CANTOPEN));
    expect(error).toMatchObject({ reason, cause: CANTOPEN });
    expect(error.message).not.toContain(directory);
  });

  it('F56 of a file that is gone is not the same as of one that cannot be created', async () => {
    const path = join(await files(), 'open', 'none.db');
    expect(await diagnoseOpenError(path, false, CANTOPEN)).toMatchObject({ reason: 'missing-file' });
  });

  it.for([
    ['open/app.db', 14],
    ['open/app.db', 10],
    ['open/none.db', 14],
  ] as const)(
    'F86 of %s on a read-only file system, which SQLite calls %i, is explained as read-only',
    async ([path, errno]) => {
      const filename = join(await files(), path);
      vi.mocked(access).mockRejectedValue(Object.assign(new Error('no'), { code: 'EROFS' }));
      const error = Object.assign(new Error('no'), { errno });
      expect(await diagnoseOpenError(filename, true, error)).toMatchObject({ reason: 'read-only' });
      vi.mocked(access).mockReset();
    },
  );

  it.for([
    [26, 'not-a-database'],
    [8, 'read-only'],
    [8 | (5 << 8), 'read-only'],
    [3, 'not-permitted'],
    [10, 'unknown'],
    [undefined, 'unknown'],
  ] as const)('for the reason %s, which says enough, is explained as %s', async ([errno, reason]) => {
    const error = Object.assign(new Error('no'), { errno });
    expect(await diagnoseOpenError(join(await files(), 'open', 'app.db'), true, error)).toMatchObject({
      reason,
    });
  });
});
