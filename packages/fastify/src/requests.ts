import { LeaseEndedError } from '@sqlite-pool/core';
import type { RequestOrigin } from '@sqlite-pool/core/channels';
import { commitBefore } from '@sqlite-pool/core/held-response';
import {
  beginTransaction,
  RequestLease,
  RequestTransaction,
  transactionOf,
  type PluginSettings,
} from '@sqlite-pool/core/plugin';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/**
 * The handle of a request. `db` is a lease until the body is parsed, because a transaction that waits for a slow body would keep all
 * others from writing. After that, the route decides what `db` is.
 */
interface Use {
  readonly reply: FastifyReply;
  db: RequestLease | RequestTransaction;
  /** What the handler is part of, if its route is a transaction. */
  transaction?: RequestTransaction | undefined;
  phase: 'early' | 'parsed' | 'decided';
}

/** Gives each request its handle, and releases its connection when the response begins. */
export function serveRequests(app: FastifyInstance, settings: PluginSettings): void {
  const { pool, mode, disconnectGraceMs, name } = settings;
  const key = Symbol(name);
  const useOf = (request: FastifyRequest) => (request as { [key]?: Use | null })[key] ?? undefined;
  app.decorateRequest(key, null);
  app.decorateRequest(name, {
    getter(this: FastifyRequest) {
      const use = useOf(this);
      if (use === undefined) throw new LeaseEndedError(`request.${name} ${TOO_EARLY}`);
      if (use.phase === 'parsed') decide(use, this);
      return use.db;
    },
  });

  app.addHook('onRoute', ({ config }) => void transactionOf(config?.sqlite, name, CONFIG));
  app.addHook('onRequest', (request, reply, done) => {
    const { method } = request;
    const origin = (): RequestOrigin => originOf(request);
    const facts = { mode, disconnectGraceMs, method, response: reply.raw, request: origin };
    const db = new RequestLease(pool, facts);
    Object.assign(request, { [key]: { reply, db, phase: 'early' } satisfies Use });
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    const use = useOf(request);
    if (use !== undefined) use.phase = 'parsed';
    const options = transactionOf(request.routeOptions.config.sqlite, name, CONFIG);
    const transaction = options && beginTransaction(use?.db, options);
    if (use === undefined || transaction === undefined) {
      done();
      return;
    }
    use.transaction = transaction;
    transaction.around(done);
  });
  app.addHook('onError', (request, _reply, _error, done) => {
    const db = useOf(request)?.db;
    if (db instanceof RequestTransaction) db.fail();
    done();
  });
  // The handler is done, and no byte has left yet, so a slow reader holds no connection. An earlier hook that replied by itself
  // has skipped our hooks; then there is no lease.
  app.addHook('onSend', (request, _reply, _payload, done) => {
    const db = useOf(request)?.db;
    if (db instanceof RequestLease) db.respond();
    done();
  });
}

/** Hooks of the application, and Fastify itself, can refuse an answer until its head is written. So the transaction ends then. */
function decide(use: Use, request: FastifyRequest): void {
  const { db: lease, reply, transaction } = use;
  if (transaction !== undefined) {
    use.db = transaction;
    const before = reply.getHeaders();
    commitBefore(reply.raw, transaction, (error) => {
      // The handler writes this answer by hand. Fastify does not end it.
      if (reply.sent) {
        reply.log.error(error);
        reply.raw.writeHead(500).end();
        return;
      }
      for (const header of Object.keys(reply.getHeaders())) reply.removeHeader(header);
      reply.headers(before).send(error);
    });
  }
  use.phase = 'decided';
  // Only messages follow, and no answer.
  if (lease instanceof RequestLease && isForWebSocket(request)) lease.respond();
}

/** What the pool may say of a request. Its log has its id. */
function originOf({ id, method, routeOptions, log }: FastifyRequest): RequestOrigin {
  return { id, route: `${method} ${routeOptions.url ?? '*'}`, log: isOn(log) ? log : undefined };
}

/** Without the option `logger`, Fastify has a log without a level, which writes nothing. */
export function isOn(log: FastifyBaseLogger): boolean {
  return (log as Partial<FastifyBaseLogger>).level !== undefined;
}

/** Node.js sets `upgrade` to `false` for a request that asks for it and is answered as any other. */
function isForWebSocket({ headers, raw }: FastifyRequest): boolean {
  return headers.upgrade !== undefined && (raw as { readonly upgrade?: boolean | null }).upgrade !== false;
}

const CONFIG = 'config.sqlite';
const TOO_EARLY =
  "is there from this plugin's onRequest hook on: register the plugin before hooks that use it.";
