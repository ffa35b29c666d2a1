import { Readable } from 'node:stream';
import { LeaseEndedError, RequestLease, RequestTransaction, type PluginSettings } from '@sqlite-pool/core';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { transactionOf } from './route-config.ts';

/**
 * What a request has: `db` is its lease until its body is parsed, because a transaction that waits for a slow body would
 * keep all others from writing. Then it is what the route says.
 */
interface Use {
  readonly lease: RequestLease;
  db: RequestLease | RequestTransaction;
  /** `settling`: an answer waits for the COMMIT. */
  phase: 'early' | 'parsed' | 'decided' | 'settling';
}

/** Gives each request its handle, and takes it back when the response begins. */
export function serveRequests(
  app: FastifyInstance,
  { pool, mode, graceMs, name }: Omit<PluginSettings, 'closesPool'>,
): void {
  const uses = Symbol(name);
  const useOf = (request: FastifyRequest): Use | null => (request as { [uses]?: Use | null })[uses] ?? null;
  app.decorateRequest(uses, null);
  app.decorateRequest(name, {
    getter(this: FastifyRequest) {
      const use = useOf(this);
      if (use === null) throw new LeaseEndedError(`request.${name} ${TOO_EARLY}`);
      if (use.phase === 'parsed') {
        const options = transactionOf(this.routeOptions.config.sqlite, name);
        if (options !== undefined) use.db = new RequestTransaction(use.lease, options);
        use.phase = 'decided';
      }
      return use.db;
    },
  });

  app.addHook('onRoute', ({ config }) => void transactionOf(config?.sqlite, name));
  app.addHook('onRequest', (request, reply, done) => {
    const { method } = request;
    const lease = new RequestLease(pool, { mode, graceMs, method, response: reply.raw });
    Object.assign(request, { [uses]: { lease, db: lease, phase: 'early' } satisfies Use });
    done();
  });
  app.addHook('preHandler', (request, _reply, done) => {
    const use = useOf(request);
    if (use !== null) use.phase = 'parsed';
    done();
  });
  app.addHook('onError', (request, _reply, _error, done) => {
    const db = useOf(request)?.db;
    if (db instanceof RequestTransaction) db.fail();
    done();
  });
  // The handler is done, and the bytes have not travelled yet: a slow reader holds no connection. An earlier hook that
  // replied by itself has skipped ours, so there may be nothing to give back.
  app.addHook('onSend', (request, reply, payload, done) => {
    const use = useOf(request);
    if (!(use?.db instanceof RequestTransaction)) {
      use?.lease.respond();
      done();
      return;
    }
    if (use.phase === 'settling') {
      // Nothing has been sent yet, so Fastify takes a second answer for the first one: its status would be for the wrong
      // one, and the head would be written twice.
      request.log.warn('Reply was already sent: its transaction is being committed. This answer is ignored.');
      if (payload instanceof Readable) payload.destroy();
      return;
    }
    use.phase = 'settling';
    const { statusCode } = reply;
    // Until the answer takes its error, or nobody does, a stream that fails would end the process.
    if (payload instanceof Readable) payload.on('error', () => undefined);
    settle(use.db, statusCode).then(
      () => {
        use.phase = 'decided';
        // Whoever answered a second time meanwhile has changed it.
        if (!reply.raw.headersSent) reply.code(statusCode);
        goOn(reply, done);
      },
      (error: unknown) => {
        use.phase = 'decided';
        // Another answer takes its place, and nobody else ends it.
        if (payload instanceof Readable) payload.destroy();
        goOn(reply, done, error as Error);
      },
    );
  });
}

/**
 * What Node.js or Fastify refuses of an answer, a header for example, they throw. Nobody is left on the stack who could
 * catch it, and the rejection of a promise would end the process.
 */
function goOn(reply: FastifyReply, done: (error?: Error) => void, error?: Error): void {
  try {
    done(error);
  } catch (refused) {
    if (error === undefined && !reply.raw.headersSent) goOn(reply, done, refused as Error);
    else reply.raw.destroy();
  }
}

async function settle(transaction: RequestTransaction, status: number): Promise<void> {
  try {
    await transaction.settle(status);
  } finally {
    transaction.lease.respond();
  }
}

const TOO_EARLY =
  "is there from this plugin's onRequest hook on: register the plugin before hooks that use it.";
