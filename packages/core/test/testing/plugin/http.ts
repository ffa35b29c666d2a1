import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline, Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import type { RetryableError } from '../../../src/index.ts';
import { commitBefore } from '../../../src/request/held-response.ts';
import { pluginSettings, RequestLease, RequestTransaction } from '../../../src/plugin.ts';
import type { PluginAbility, StartPlugin } from '../../../src/testing/index.ts';

/** What a server of Node.js can do here. */
export const can: readonly PluginAbility[] = ['error-status', 'hijack', 'transaction'];

/** A plugin for plain node:http, in an application of it. */
export const start: StartPlugin = async ({ options, routes }) => {
  const { pool, closesPool, mode, disconnectGraceMs } = pluginSettings(options);
  await pool.open();
  const server = createServer((request, response) => {
    const { method = 'GET', url } = request;
    // The plugin: one of these for each request, which follows its response.
    const lease = new RequestLease(pool, { mode, disconnectGraceMs, method, response });
    // And one of these for a request that is one transaction.
    const transaction = (): RequestTransaction => {
      const own = new RequestTransaction(lease);
      commitBefore(response, own, fail);
      return own;
    };
    // The rest is the application.
    const fail = (error: unknown): void => {
      const { statusCode = 500, headers } = error as Partial<RetryableError>;
      response.writeHead(statusCode, headers).end();
    };
    const answer = async (): Promise<void> => {
      const route = routes.find((each) => each.path === url && each.method === method.replace('HEAD', 'GET'));
      if (route === undefined) return void response.writeHead(404).end();
      const body = request.headers['content-type'] === undefined ? undefined : await json(request);
      const db = route.transaction === true ? transaction() : lease;
      const value = await route.handler({ db, body, request, response });
      if (value instanceof Readable) pipeline(value, response, () => undefined);
      else if (typeof value === 'string' || value instanceof Uint8Array) response.end(value);
      else if (value !== undefined) response.end(JSON.stringify(value));
    };
    answer().catch(fail);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const close = async (): Promise<void> => {
    server.close().closeAllConnections();
    if (closesPool) await pool.close();
  };
  return { port: (server.address() as AddressInfo).port, pool, close };
};
