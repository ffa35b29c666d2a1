/**
 * What the tests of the three plugins share: each plugin's tests say how its framework serves a route, and run the same
 * cases with it, over real sockets and real database files.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { request, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';
import type {
  PluginOptions,
  PoolOptions,
  RequestDb,
  RequestOptions,
  SqlitePool,
} from '../packages/core/dist/index.js';

/** What a handler is given, in every framework. */
interface Context {
  readonly db: RequestDb;
  /** Resolves when the response closes: its client has left, or has the whole answer. */
  readonly closed: Promise<void>;
}

/** Resolves to a JSON value, to a string or bytes, or to a stream, which is sent as this framework's users do it. */
export type Handler = (context: Context) => Promise<object | string | Buffer | Readable>;

/** Handlers by method and path. */
export type Routes = Readonly<Record<`${'GET' | 'POST'} /${string}`, Handler>>;

/** A server that listens. */
interface Server {
  readonly port: number;
  readonly pool: SqlitePool;
  /** Closes the server, then the pool, as the plugin's README says. */
  readonly close: () => Promise<void>;
}

/** One plugin with its framework. */
export interface Framework {
  readonly name: string;
  /** Listens on 127.0.0.1; `port` is 0. */
  serve(options: PluginOptions, routes: Routes): Promise<Server>;
}

/** An HTTP answer. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A running application, its database, and clients for it. */
export interface Running extends Server {
  readonly filename: string;
  /** One request on a connection of its own. */
  readonly fetch: (method: string, path: string) => Promise<Answer>;
  /** Sends requests on one socket, without waiting for answers. */
  readonly send: (...requests: readonly string[]) => Socket;
}

/** A file name in a directory that is removed after the test. */
export async function temporaryFile(name: string = 'app.db'): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(async () => {
    await rm(directory, { recursive: true });
  });
  return join(directory, name);
}

type Settings = Omit<PoolOptions & RequestOptions, 'filename'>;

/** Starts an application on a new database with a table `notes (id, body UNIQUE)`; both go away after the test. */
export async function start(framework: Framework, settings: Settings, routes: Routes): Promise<Running> {
  const filename = await temporaryFile();
  const server = await framework.serve({ closeTimeoutMs: 100, ...settings, filename }, routes);
  onTestFinished(() => server.close());
  await server.pool.script('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT UNIQUE)');
  return {
    ...server,
    filename,
    fetch: (method, path) => fetchOnce(server.port, method, path),
    send(...requests) {
      const socket = connect(server.port, '127.0.0.1');
      socket.on('error', () => undefined);
      onTestFinished(() => void socket.destroy());
      const host = 'Host: 127.0.0.1\r\n';
      socket.write(requests.map((line) => `${line} HTTP/1.1\r\n${host}${bodyHead(line)}\r\n`).join(''));
      return socket;
    },
  };
}

function bodyHead(line: string): string {
  return line.startsWith('POST') ? 'Content-Length: 0\r\n' : '';
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
export interface Deferred<T> {
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
