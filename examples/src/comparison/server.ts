import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

import { beside, page, PRIVATE } from '../pages/page.ts';
import type { RunningServer } from '../shared/server.ts';
import { OWN_HEADER } from './own-header.ts';
import { Race } from './race.ts';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const { headers, html } = page({
  title: 'Three ways to use SQLite in a server',
  body: beside(import.meta.url, 'page/body.html'),
  style: beside(import.meta.url, 'page/style.css'),
  script: beside(import.meta.url, 'page/main.js'),
});

/**
 * Serves the comparison on 127.0.0.1; port 0 is any free one.
 *
 * @param file A seeded database that nothing writes to. The contestants get copies beside it.
 * @param unwatchedMs The contestants run as long as a page asks for them, and no longer than this after it.
 */
export async function startComparison(
  port: number,
  file: string,
  unwatchedMs = 10_000,
): Promise<RunningServer> {
  const watched = new WhileWatched(file, unwatchedMs);
  const server = createServer((request, response) => {
    answerTo(request, watched)
      .catch((error: unknown) =>
        json(500, { message: error instanceof Error ? error.message : String(error) }),
      )
      .then(({ status, headers: own, body }) => response.writeHead(status, own).end(body))
      .catch(console.error);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/compare`,
    async close() {
      server.close();
      server.closeAllConnections();
      await watched.close();
    },
  };
}

async function answerTo(request: IncomingMessage, watched: WhileWatched): Promise<Answer> {
  // Another name that leads here is a site that wants to be this one.
  if (!/^(127\.0\.0\.1|localhost):\d+$/.test(request.headers.host ?? '')) return text(403, 'Forbidden');
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1');
  switch (`${String(request.method)} ${pathname}`) {
    case 'GET /':
      return { ...text(302, 'See /compare'), headers: { ...PRIVATE, location: '/compare' } };
    case 'GET /compare':
      return { status: 200, headers, body: html };
    case 'GET /compare/state': {
      const since = Number(searchParams.get('since') ?? Number.NaN);
      return json(200, (await watched.race()).state(Number.isNaN(since) ? undefined : since));
    }
    case 'POST /compare/query':
    case 'POST /compare/writers': {
      if (request.headers[OWN_HEADER] === undefined) return text(403, 'Forbidden');
      const race = await watched.race();
      await (pathname === '/compare/query' ? race.query() : race.writers());
      return json(200, race.state());
    }
    default:
      return text(404, 'Not Found');
  }
}

/** Starts a race when a page asks for one, and ends it when no page has asked for a while. */
class WhileWatched {
  readonly #file: string;
  readonly #unwatchedMs: number;
  #race: Promise<Race> | undefined;
  #ending: Promise<unknown> = Promise.resolve();
  #unwatched: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(file: string, unwatchedMs: number) {
    this.#file = file;
    this.#unwatchedMs = unwatchedMs;
  }

  async race(): Promise<Race> {
    if (this.#closed) throw new Error('The comparison has ended.');
    clearTimeout(this.#unwatched);
    this.#unwatched = setTimeout(() => this.#end(), this.#unwatchedMs);
    this.#race ??= Race.start(this.#file);
    try {
      const race = await this.#race;
      if (race.running) return race;
      throw new Error('A contestant has ended.');
    } catch (error) {
      // The next one to ask gets a new one.
      this.#end();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#unwatched);
    this.#end();
    await this.#ending;
  }

  #end(): void {
    const race = this.#race;
    this.#race = undefined;
    const ended = race?.then((one) => one.stop()).catch(() => undefined);
    this.#ending = Promise.all([this.#ending, ended]);
  }
}

const json = (status: number, value: object): Answer => ({
  status,
  headers: { ...PRIVATE, 'content-type': 'application/json; charset=utf-8' },
  body: JSON.stringify(value),
});

const text = (status: number, body: string): Answer => ({
  status,
  headers: { ...PRIVATE, 'content-type': 'text/plain; charset=utf-8' },
  body: `${body}\n`,
});
