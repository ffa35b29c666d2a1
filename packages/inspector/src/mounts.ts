import type { IncomingMessage, ServerResponse } from 'node:http';
import type { InspectorRequest, InspectorResponse } from './options.ts';

/** What Fastify's `register` passes to a plugin, as far as it matters here. */
interface FastifyLike {
  route(options: FastifyRoute): unknown;
}

interface FastifyRoute {
  readonly method: string[];
  readonly url: string;
  readonly logLevel: 'silent';
  /** `hide` is a word of @fastify/swagger. */
  readonly schema: object;
  readonly handler: (request: FastifyRequestLike, reply: FastifyReplyLike) => Promise<unknown>;
}

interface FastifyRequestLike {
  readonly method: string;
  readonly url: string;
  readonly params: unknown;
  readonly headers: InspectorRequest['headers'];
}

interface FastifyReplyLike {
  code(status: number): unknown;
  headers(headers: Record<string, string>): unknown;
  send(body: string): unknown;
}

/**
 * The ways to put an inspector into an application.
 *
 * @example app.use('/sqlite', inspector.listener);
 */
export interface Mounts {
  /**
   * A plugin for Fastify. Its routes do not log, and are hidden from OpenAPI documents.
   *
   * @example await app.register(inspector.fastify, { prefix: '/sqlite' });
   */
  readonly fastify: (app: FastifyLike) => Promise<void>;
  /**
   * For Hono, and every other server that passes on a `Request` whose URL has the path below the mount.
   *
   * @example app.all('/sqlite/*', mount(inspector.fetch)); // with mount of hono/mount
   */
  readonly fetch: (request: Request) => Promise<Response>;
  /**
   * For Express, `node:http`, and every other server with a `(request, response)`. An error of your `auth` goes to
   * `next`, or is answered with 500.
   *
   * @example app.use('/sqlite', inspector.listener);
   */
  readonly listener: (
    request: IncomingMessage,
    response: ServerResponse,
    next?: (error: unknown) => void,
  ) => void;
}

type Handle = (request: InspectorRequest) => Promise<InspectorResponse>;

export function mountsOf(handle: Handle): Mounts {
  return {
    async fastify(app) {
      for (const url of ['/', '/*']) app.route(fastifyRoute(url, handle));
    },
    async fetch({ method, url, headers }) {
      const { pathname, search } = new URL(url);
      const answer = await handle({ method, path: pathname + search, headers: Object.fromEntries(headers) });
      // A HEAD has no body at all.
      const body = answer.body === '' ? null : answer.body;
      return new Response(body, { status: answer.status, headers: { ...answer.headers } });
    },
    listener(request, response, next) {
      answer(handle, request, response).catch((error: unknown) => {
        if (next !== undefined) next(error);
        else response.writeHead(500).end();
      });
    },
  };
}

/** Fastify's own answer to another method would be 404. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

function fastifyRoute(url: string, handle: Handle): FastifyRoute {
  return {
    method: METHODS,
    url,
    logLevel: 'silent',
    schema: { hide: true },
    handler: async (request, reply) => {
      const { '*': rest = '' } = request.params as { readonly '*'?: string };
      const query = request.url.includes('?') ? request.url.slice(request.url.indexOf('?')) : '';
      const { method, headers } = request;
      const answer = await handle({ method, path: `/${rest}${query}`, headers });
      reply.code(answer.status);
      reply.headers({ ...answer.headers });
      return answer.body;
    },
  };
}

async function answer(handle: Handle, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  const { status, headers: own, body } = await handle({ method, path: url, headers });
  response.statusCode = status;
  for (const [name, value] of Object.entries(own)) response.setHeader(name, value);
  response.end(body);
}
