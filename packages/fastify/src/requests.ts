import { Readable } from 'node:stream';
import { LeaseEndedError, RequestLease, RequestTransaction, type PluginSettings } from '@sqlite-pool/core';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { transactionOf } from './route-config.ts';

/**
 * What a request has: `db` is its lease until its body is parsed, because a transaction that waits for a slow body would
 * keep all others from writing. Then it is what the route says.
 */
interface Use {
  readonly lease: RequestLease;
  db: RequestLease | RequestTransaction;
  phase: 'early' | 'parsed' | 'decided';
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
    settle(use.db, reply.statusCode).then(
      () => {
        done();
      },
      (error: unknown) => {
        // Another answer takes its place, and nobody else ends it.
        if (payload instanceof Readable) payload.destroy();
        done(error as Error);
      },
    );
  });
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
