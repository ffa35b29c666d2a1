/** Checked by `tsc`, never run: the names of a second database, declared as a user of the built packages does it. */
import { sqlitePool as expressPool } from '@sqlite-pool/express';
import { sqlitePool as fastifyPool, type RequestDb, type SqlitePool } from '@sqlite-pool/fastify';
import type { Request } from 'express';
import { fastify, type FastifyRequest } from 'fastify';

declare module '@sqlite-pool/fastify' {
  interface Databases {
    audit: true;
  }
}
declare module '@sqlite-pool/express' {
  interface Databases {
    log: true;
  }
}

const app = fastify();
await app.register(fastifyPool, { filename: 'audit.db', name: 'audit' });
// @ts-expect-error -- declared for the other plugin
await app.register(fastifyPool, { filename: 'log.db', name: 'log' });
export const pools: SqlitePool[] = [app.sqlite, app.auditPool];
export const handles = (request: FastifyRequest): RequestDb[] => [request.db, request.audit];

expressPool({ filename: 'log.db', name: 'log' });
// @ts-expect-error -- declared for the other plugin
expressPool({ filename: 'audit.db', name: 'audit' });
export const expressHandles = (req: Request): RequestDb[] => [req.db, req.log];
