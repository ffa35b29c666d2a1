import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll } from 'vitest';

import { startExpress } from '../src/express.ts';
import { startFastify } from '../src/fastify.ts';
import { startHono } from '../src/hono.ts';
import { seed } from '../src/shared/seeding.ts';

/** The three examples: every test of the API runs against each of them, over real sockets. */
export const examples = [
  { name: 'Fastify', start: startFastify },
  { name: 'Hono', start: startHono },
  { name: 'Express', start: startExpress },
];

const directories = new AsyncDisposableStack();
afterAll(() => directories.disposeAsync());

/** A path in a directory that is removed after the tests of the file. */
export async function temporaryFile(name = 'social.db'): Promise<string> {
  const directory = directories.use(await mkdtempDisposable(join(tmpdir(), 'sqlite-pool-examples-')));
  return join(directory.path, name);
}

/** A file with the tiny scale in it: 60 users, 30 posts, 900 comments, 600 likes. */
export async function seededFile(): Promise<string> {
  const file = await temporaryFile();
  await seed(file, 'tiny');
  return file;
}
