import type { Driver } from '@sqlite-pool/core';
import { libsql } from '@sqlite-pool/core/libsql';
import { afterAll } from 'vitest';

import { NO_SQLD, Server, SQLD } from '../../conformance/libsql-server.ts';
import { seededFile } from './examples.ts';

/** vitest.config.ts puts this in the place of `database.ts`: the same applications with another driver, and nothing else. */
export interface Database {
  readonly driver: Driver;
}

export const missing: boolean = SQLD === undefined;
if (missing) console.warn(`The examples are not tested on a libSQL server: ${NO_SQLD}.`);

const servers: Server[] = [];
afterAll(() => Promise.all(servers.map((server) => server.remove())));

/** A server for each database, as there is a file for each. */
async function databaseFrom(filename?: string): Promise<Database> {
  const server = await Server.prepare();
  servers.push(server);
  if (filename !== undefined) await server.fill(filename);
  await server.start();
  return { driver: libsql({ url: server.url }) };
}

export async function seededDatabase(): Promise<Database> {
  return databaseFrom(await seededFile());
}

export async function emptyDatabase(): Promise<Database> {
  return databaseFrom();
}

/** Nothing listens there. */
export async function nowhere(): Promise<Database> {
  return { driver: libsql({ url: 'ws://127.0.0.1:1' }) };
}
