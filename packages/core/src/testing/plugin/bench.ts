import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { PoolOptions } from '../../options.ts';
import type { RequestOptions } from '../../request/plugin-options.ts';
import { createPool, type SqlitePool } from '../../pool.ts';
import { fetchOnce, Http2Client, nothing, RawClient, type Answer } from './clients.ts';
import type {
  PluginAbility,
  PluginApp,
  PluginCase,
  PluginContext,
  PluginRoute,
  RunningPlugin,
  StartPlugin,
} from './contract.ts';
import { ListenerWatch } from './listeners.ts';

export type Handler = PluginRoute['handler'];

/** Routes by method and path: a handler, or a handler with more properties. */
type Routes = Readonly<
  Record<`${'GET' | 'POST'} /${string}`, Handler | Omit<PluginRoute, 'method' | 'path'>>
>;

type Settings = Omit<PoolOptions & RequestOptions, 'filename' | 'name'>;

/** A running application, its database, and clients for it. */
interface Running extends RunningPlugin {
  readonly filename: string;
  /** Sends one request on a client connection of its own. */
  readonly fetch: (method: string, path: string, body?: string) => Promise<Answer>;
  /** Opens a client connection, and sends requests without waiting for answers. */
  readonly send: (...requests: readonly string[]) => RawClient;
  /** Opens a client connection that uses HTTP/2. */
  readonly http2: () => Http2Client;
}

/** The tools of a case. */
export interface Bench {
  /** The plugin itself, for an application that must not start. */
  readonly serve: StartPlugin;
  readonly directory: string;
  /**
   * Starts an application on a new database with a table `notes (id, body UNIQUE)`. When the case is done, its pool
   * must be whole and must still answer.
   */
  readonly start: (settings: Settings, routes: Routes, app?: Pick<PluginApp, 'http2'>) => Promise<Running>;
  /** Resolves when `check` returns true. */
  readonly eventually: (check: () => boolean) => Promise<void>;
  /** A handler, or a callback, that fails the case if it is called. */
  readonly unreached: () => Promise<never>;
}

export type Use = (bench: Bench) => Promise<void>;

/** Makes the cases of one group with the same needs. */
export function casesOf(
  group: string,
  needs: readonly PluginAbility[],
  list: Readonly<Record<string, Use>>,
): PluginCase[] {
  return Object.entries(list).map(([title, use]) => ({
    group,
    title,
    needs,
    run: (start, patienceMs = 10_000) => onBench(start, patienceMs, use),
  }));
}

async function onBench(serve: StartPlugin, patienceMs: number, use: Use): Promise<void> {
  const started = new Started(serve, await mkdtemp(join(tmpdir(), 'sqlite-pool-plugin-')));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `The case has not ended after ${String(patienceMs)} ms. ${started.describe()}`;
      reject(new assert.AssertionError({ message }));
    }, patienceMs);
  });
  try {
    await Promise.race([use(started).then(() => started.check()), late]);
  } finally {
    clearTimeout(timer);
    await started.end();
  }
}

/** The servers and clients that a case has started. They must be in order at its end. */
class Started implements Bench {
  readonly serve: StartPlugin;
  readonly directory: string;
  readonly #running: Running[] = [];
  readonly #clients: { leave(): void }[] = [];
  readonly #listeners: ListenerWatch = new ListenerWatch();
  #reached: assert.AssertionError | undefined;
  #state: 'in use' | 'ended' = 'in use';

  constructor(serve: StartPlugin, directory: string) {
    this.serve = async (app) => {
      const running = await serve(app);
      this.#closers.push(() => running.close());
      return running;
    };
    this.directory = directory;
  }

  readonly #closers: (() => Promise<void>)[] = [];

  readonly start: Bench['start'] = async (settings, routes, app = {}) => {
    const { serve, directory } = this;
    const filename = join(directory, `${String(this.#running.length)}.db`);
    const options = { closeTimeoutMs: 100, acquireTimeoutMs: 5000, ...settings, filename };
    await createNotes(filename);
    const server = await serve({ ...app, options, routes: [...this.#routes(routes), NEXT] });
    const client = <Client extends { leave(): void }>(made: Client): Client => {
      this.#clients.push(made);
      return made;
    };
    const running: Running = {
      ...server,
      filename,
      fetch: (method, path, body) => fetchOnce(server.port, method, path, body),
      send: (...requests) => client(new RawClient(server.port)).send(...requests),
      http2: () => client(new Http2Client(server.port)),
    };
    const get = app.http2 === true ? (path: string) => running.http2().fetch('GET', path) : undefined;
    this.#running.push({
      ...running,
      fetch: get ? (_, path) => get(path) as Promise<Answer> : running.fetch,
    });
    return running;
  };

  readonly eventually: Bench['eventually'] = async (check) => {
    // Stops polling when the case is over.
    while (!check() && this.#state === 'in use') await pause(2);
  };

  readonly unreached: Bench['unreached'] = async () => {
    this.#reached = new assert.AssertionError({ message: 'It was called, although it must not be.' });
    throw this.#reached;
  };

  /** Checks the conditions that hold after every case: first while its clients are connected, then when they have left. */
  async check(): Promise<void> {
    if (this.#reached !== undefined) throw this.#reached;
    const open = this.#running.filter(({ pool }) => !pool.closed);
    for (const { pool } of this.#running) await this.#whole(pool);
    for (const { fetch, pool } of open) {
      const { status, body } = await fetch('GET', NEXT.path);
      assert.deepEqual({ status, body }, { status: 200, body: '{"next":1}' });
      await this.#whole(pool);
    }
    this.#leave();
    for (const { pool } of this.#running) await this.#whole(pool);
    await this.eventually(() => this.#listeners.left === 0);
  }

  describe(): string {
    const stats = this.#running.map(({ pool }) => JSON.stringify(pool.stats())).join(' ');
    return `Listeners left: ${String(this.#listeners.left)}. The pool: ${stats}`;
  }

  async end(): Promise<void> {
    this.#state = 'ended';
    this.#leave();
    // Not awaited without a deadline: a close that hangs has already failed the case, or will fail the next one.
    const closing = Promise.allSettled(this.#closers.map((close) => close()));
    await Promise.race([closing, pause(CLOSING_MS, undefined, { ref: false })]);
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #leave(): void {
    for (const client of this.#clients) client.leave();
  }

  async #whole(pool: SqlitePool): Promise<void> {
    await this.eventually(() => {
      const { leased, waiting, writerHeld, writersWaiting } = pool.stats();
      return leased === 0 && waiting === 0 && !writerHeld && writersWaiting === 0;
    });
  }

  #routes(routes: Routes): PluginRoute[] {
    const watched = <Result>(
      step: ((context: PluginContext) => Promise<Result>) | undefined,
    ): ((context: PluginContext) => Promise<Result>) | undefined =>
      step && ((context) => step(this.#listeners.watch(context)));
    return Object.entries(routes).map(([name, route]) => {
      const [method, path] = name.split(' ') as [PluginRoute['method'], string];
      const { handler, before, after, ...more } = typeof route === 'function' ? { handler: route } : route;
      return {
        ...more,
        method,
        path,
        handler: watched(handler) as Handler,
        before: watched(before),
        after: watched(after),
      };
    });
  }
}

/** Uses a pool of its own, because the limits of a case must not apply to this script. */
async function createNotes(filename: string): Promise<void> {
  const pool = createPool({ filename });
  try {
    await pool.script('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT UNIQUE)');
  } finally {
    await pool.close();
  }
}

/** The next request, which must still be possible after every case. */
const NEXT: PluginRoute = {
  method: 'GET',
  path: '/next',
  handler: async ({ db }) => db.get('SELECT 1 AS next'),
};

const CLOSING_MS = 5000;

/** A promise and the functions that settle it. A handler and its case use it to wait for each other. */
export function deferred<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}

/** Starts two routes whose handlers wait for each other. `/first` answers how many connections are leased then. */
export async function startMeeting(
  start: Bench['start'],
  app: Pick<PluginApp, 'http2'> = {},
): Promise<Running> {
  const [first, second] = [deferred(), deferred()];
  const running = await start(
    { poolSize: 2 },
    {
      'GET /first': async ({ db }) => {
        await db.get('SELECT 1');
        first.resolve();
        await second.promise;
        return { leased: running.pool.stats().leased };
      },
      'GET /second': async ({ db }) => {
        await first.promise;
        await db.get('SELECT 1');
        second.resolve();
        return {};
      },
    },
    app,
  );
  return running;
}

/** The end of some work: the code of its error, or `done`. */
export async function ending(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => 'done',
    (error: unknown) => String((error as { code?: unknown }).code),
  );
}

/** Resolves when the response of a request closes: its client has left, or has received the whole answer. */
export async function closing({ response }: PluginContext): Promise<void> {
  await new Promise<void>((closed) => response.once('close', closed));
}

/** Asserts that `actual` has the properties of `expected`. */
export function has<T extends object>(actual: T, expected: Partial<Record<keyof T, unknown>>): void {
  const keys = Object.keys(expected) as (keyof T)[];
  assert.deepEqual(Object.fromEntries(keys.map((key) => [key, actual[key]])), expected);
}

/** A promise that never settles. */
export const never = (): Promise<never> => new Promise<never>(nothing);

export const INSERT = 'INSERT INTO notes (body) VALUES (?)';

/** Runs until it is interrupted. */
export const ENDLESS =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n';

/** More rows than all buffers between the handler and a client can hold. */
export const LONG =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i, hex(zeroblob(500)) AS x FROM n';

/** The bodies of all notes. */
export async function notes(pool: SqlitePool): Promise<unknown[]> {
  return (await pool.all<{ body: string }>('SELECT body FROM notes ORDER BY id')).map(({ body }) => body);
}

/** Rows as the chunks of a body. */
export async function* chunks(rows: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const row of rows) yield JSON.stringify(row);
}
