import type { AddressInfo } from 'node:net';
import websocket from '@fastify/websocket';
import type { PluginAbility, PluginRoute, RunningPlugin, StartPlugin } from '@sqlite-pool/core/testing';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { fastify as fastify50 } from 'fastify-5.0';
import type { Framework } from '../../../conformance/plugin-cases.ts';
import { sqlitePool } from '../src/index.ts';

const CAN: readonly PluginAbility[] = [
  'after',
  'before',
  'child-scope',
  'error-status',
  'hijack',
  'http2',
  'inject',
  'transaction',
  'origin',
  'websocket',
];

/** The highest and the lowest version of Fastify; the lowest has no `handlerTimeout` yet. */
export const frameworks: readonly Framework[] = [
  { name: 'Fastify 5.12', can: [...CAN, 'handler-timeout'], start: starter(fastify) },
  // Its types are those of another copy.
  { name: 'Fastify 5.0', can: CAN, start: starter(fastify50 as unknown as typeof fastify) },
];

function starter(make: typeof fastify): StartPlugin {
  return async ({ options, routes, http2 = false }) => {
    const settings = {
      forceCloseConnections: !http2,
      ...(http2 && { http2, http2SessionTimeout: 500 }),
    };
    const app = make(settings as object) as FastifyInstance;
    if (routes.some((route) => route.websocket)) await app.register(websocket);
    await app.register(sqlitePool, { ...options, name: 'db' });
    for (const route of routes.filter(({ child }) => !child)) addRoute(app, route);
    await app.register(async (child) => {
      for (const route of routes.filter((each) => each.child)) addRoute(child, route);
    });
    await app.listen({ port: 0, host: '127.0.0.1' });
    const inject: RunningPlugin['inject'] = async (method, url) => {
      const { statusCode, body } = await app.inject({ method: method as 'GET', url });
      return { status: statusCode, body };
    };
    return {
      port: (app.server.address() as AddressInfo).port,
      pool: app.sqlite,
      close: () => app.close(),
      inject,
    };
  };
}

function addRoute(
  app: FastifyInstance,
  { method, path, handler, before, after, timeoutMs, transaction = false, websocket: onMessage }: PluginRoute,
): void {
  app.route({
    method,
    url: path,
    config: { sqlite: { transaction } },
    ...(timeoutMs !== undefined && { handlerTimeout: timeoutMs }),
    ...(before && {
      onRequest: async (request, reply) => {
        const answer = await before(contextOf(request, reply));
        if (answer !== undefined) return reply.send(answer);
      },
    }),
    ...(after && {
      // Later than the hooks of the plugin.
      onSend: async (request, reply) => {
        if (reply.statusCode < 400) await after(contextOf(request, reply));
      },
    }),
    ...(onMessage && {
      wsHandler: (socket, { db }) => {
        socket.on('message', (body: Buffer) => {
          // What a message is answered with when it fails is up to the application.
          onMessage({ db, body: String(body) }).then((answer) => {
            socket.send(JSON.stringify(answer));
          }, socket.terminate.bind(socket));
        });
      },
    }),
    handler: async (request, reply) => {
      const answer = await handler(contextOf(request, reply));
      if (answer === undefined) reply.hijack();
      return answer;
    },
  });
}

function contextOf({ db, body, raw }: FastifyRequest, reply: FastifyReply) {
  return { db, body, request: raw, response: reply.raw };
}
