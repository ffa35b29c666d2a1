import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pluginSettings, RequestLease, type RetryableError } from '../../src/index.ts';
import type { PluginAbility, StartPlugin } from '../../src/testing/index.ts';

/** What a server of Node.js can do here. */
export const can: readonly PluginAbility[] = ['error-status', 'hijack'];

/** A plugin for plain node:http, in an application of it. */
export const start: StartPlugin = async ({ options, routes }) => {
  const { pool, closesPool, mode, graceMs } = pluginSettings(options);
  await pool.open();
  const server = createServer((request, response) => {
    const { method = 'GET', url } = request;
    // The plugin: one of these for each request, which follows its response.
    const db = new RequestLease(pool, { mode, graceMs, method, response });
    // The rest is the application.
    const answer = async (): Promise<void> => {
      const route = routes.find((each) => each.path === url && each.method === method.replace('HEAD', 'GET'));
      if (route === undefined) return void response.writeHead(404).end();
      const body = request.headers['content-type'] === undefined ? undefined : await json(request);
      const value = await route.handler({ db, body, request, response });
      if (value instanceof Readable) pipeline(value, response, () => undefined);
      else if (typeof value === 'string' || value instanceof Uint8Array) response.end(value);
      else if (value !== undefined) response.end(JSON.stringify(value));
    };
    answer().catch((error: unknown) => {
      const { statusCode = 500, headers } = error as Partial<RetryableError>;
      response.writeHead(statusCode, headers).end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const close = async (): Promise<void> => {
    server.close().closeAllConnections();
    if (closesPool) await pool.close();
  };
  return { port: (server.address() as AddressInfo).port, pool, close };
};
