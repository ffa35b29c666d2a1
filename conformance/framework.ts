/** What the tests of the three plugins share, besides the cases for plugins. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** An HTTP answer. */
interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A file name in a directory that is removed after the test. */
export async function temporaryFile(name: string = 'app.db'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(async () => {
    await rm(directory, { recursive: true });
  });
  return join(directory, name);
}

/** One request on a connection of its own; the body is read to its end. */
export async function fetchOnce(port: number, method: string, path: string): Promise<Answer> {
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request({ port, host: '127.0.0.1', method, path, agent: false }, resolve);
    sent.on('error', reject);
    sent.end();
  });
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, body: await text(incoming) };
}

/** A promise, and what settles it. */
interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

/** Makes a {@link Deferred}: how a handler and its test tell each other where they are. */
export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((done) => (resolve = done));
  return {
    promise,
    resolve: (value) => {
      resolve(value);
    },
  };
}

/** How a promise ends, as a value. */
export async function outcome(work: Promise<unknown>): Promise<unknown> {
  return await work.catch((error: unknown) => error);
}

/** A query that runs until it is interrupted. */
export const ENDLESS =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n';
