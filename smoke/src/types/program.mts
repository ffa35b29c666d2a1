import { createPool, SqliteError, type PoolOptions, type Row, type SqlitePool } from '@sqlite-pool/core';
import type { Connection } from '@sqlite-pool/core/driver';
import { queryChannel } from '@sqlite-pool/core/channels';
import { libsql } from '@sqlite-pool/core/libsql';
import { instrument, type Instrumentation } from '@sqlite-pool/core/opentelemetry';
import { pluginSettings, RequestLease } from '@sqlite-pool/core/plugin';
import { collectPoolMetrics, type PoolMetrics } from '@sqlite-pool/core/prometheus';
import { sqlite3 } from '@sqlite-pool/core/sqlite3';
import { betterSqlite3 } from '@sqlite-pool/core/better-sqlite3';
import { nodeSqlite } from '@sqlite-pool/core/node-sqlite';
import { sqlitePool as expressPool } from '@sqlite-pool/express';
import { transaction } from '@sqlite-pool/express/transaction';
import { sqlitePool as fastifyPool } from '@sqlite-pool/fastify';
import * as honoPlugin from '@sqlite-pool/hono';
import { sqlitePool as honoPool } from '@sqlite-pool/hono';
import { createInspector } from '@sqlite-pool/inspector';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
import { register } from 'prom-client';

const options: PoolOptions = { filename: 'app.db', threads: 2, readonly: true };
const pool: SqlitePool = createPool(options);
export const driver: string = pool.stats().driver;
export const drivers = [nodeSqlite, betterSqlite3, sqlite3].map((make) => make({ filename: 'app.db' }));

export const server = libsql({ url: 'ws://127.0.0.1:8080' });
export type Contract = Connection;
export const instrumentation: Instrumentation = instrument({ pool });
export const metrics: PoolMetrics = collectPoolMetrics({ registry: register, pool: [pool] });
export const heard: boolean = queryChannel.asyncEnd.hasSubscribers;
export const requestLease: typeof RequestLease = RequestLease;
export const settings: typeof pluginSettings = pluginSettings;

// A plugin passes on what its users need of core.
export const samePool: SqlitePool = honoPlugin.createPool({ filename: 'app.db', acquireTimeoutMs: 1000 });
export const sameError: boolean = new Error('x') instanceof honoPlugin.SqliteError;

/** Members that are internal are not in the published types. */
export type Internal = Extract<keyof SqlitePool, 'idleLeases' | 'createLease' | 'acquireWriter' | 'clock'>;
export type IsNever = [Internal] extends [never] ? true : false;
export const isNever: IsNever = true;

/** A value that was read can be bound, and an error narrows to what it has. */
export async function again(row: Row): Promise<string | undefined> {
  try {
    await pool.run('INSERT INTO t VALUES (?)', [row['value'] ?? null]);
  } catch (error) {
    if (error instanceof SqliteError && error.constraint?.kind === 'unique')
      return error.constraint.columns.join();
  }
  return undefined;
}

interface User {
  id: number;
}

const inspector = createInspector({ pool });
const app = fastify();
await app.register(inspector.fastify, { prefix: '/sqlite' });
await app.register(fastifyPool, { filename: 'app.db' });
app.get('/', async (request): Promise<User | undefined> => await request.db.get<User>('SELECT 1 AS id'));

export const hono = new Hono()
  .use(honoPool({ filename: 'app.db' }))
  .all('/sqlite/*', (c) => inspector.fetch(c.req.raw))
  .get('/', async (c) => c.json(await c.get('db').get<User>('SELECT 1 AS id')));

const expressDb = expressPool({ filename: 'app.db' });
express()
  .use('/sqlite', inspector.listener)
  .use(expressDb, transaction(expressDb, { timeoutMs: 2000 }))
  .get('/', async (req, res) => {
    res.json(await req.db.get<User>('SELECT 1 AS id'));
  });
