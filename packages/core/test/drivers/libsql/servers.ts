import { existsSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  createPool,
  type Connection,
  type Driver,
  type PoolOptions,
  type SqlitePool,
} from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import type { OpenDriver } from '../../../src/testing/index.ts';
import { NO_SQLD, Server, SQLD, type ServerOptions } from '../../../../../conformance/libsql-server.ts';

if (SQLD === undefined) console.warn(`The tests of the libSQL driver are skipped: ${NO_SQLD}.`);

/** How the driver speaks to a server. */
export const WIRES = ['ws', 'http'] as const;

/** A server that the end of the test removes. */
export async function serverOf(options: ServerOptions = {}): Promise<Server> {
  const server = await Server.start(options);
  onTestFinished(() => server.remove());
  return server;
}

/** A connection of this driver, which has every ability. */
export type WholeConnection = Connection &
  Required<Pick<Connection, 'batch' | 'script' | 'iterate' | 'interrupt'>>;

/** A connection that the end of the test closes. */
export async function connectionTo(driver: Driver): Promise<WholeConnection> {
  const connection = await driver.open();
  onTestFinished(() => connection.close());
  return connection as WholeConnection;
}

/** A pool that the end of the test closes. */
export function poolOf(driver: Driver, options: PoolOptions = {}): SqlitePool {
  const pool = createPool({ driver, closeTimeoutMs: 200, ...options });
  onTestFinished(() => pool.close());
  return pool;
}

/** How often a connection has sent something and waited, since this was called. */
export function countTrips(connection: Connection): () => number {
  const stream = connection.raw as { send: (...args: unknown[]) => unknown };
  const send = stream.send.bind(stream);
  let trips = 0;
  stream.send = (...args) => {
    trips += 1;
    return send(...args);
  };
  return () => trips;
}

/** What a promise rejects with; fails if it resolves. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const end = await promise.then(
    () => undefined,
    (error: unknown) => ({ error }),
  );
  if (end === undefined) throw new Error('The promise was expected to reject, and resolved.');
  return end.error;
}

/** Nothing listens there. */
const NOWHERE = '://127.0.0.1:1';

/** For the cases for drivers: a server stands for each file, and nothing for one whose directory is missing. */
export function openerOf(wire: 'ws' | 'http'): OpenDriver {
  const servers = new Map<string, Promise<Server>>();
  return async (filename) => {
    if (!existsSync(dirname(filename))) return libsql({ url: `${wire}${NOWHERE}` });
    const path = resolve(dirname(filename), await readlink(filename).catch(() => filename));
    let server = servers.get(path);
    if (server === undefined) {
      server = serverOf();
      servers.set(path, server);
    }
    return libsql({ url: (await server).urlOf(wire) });
  };
}
