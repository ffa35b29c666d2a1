import { createPool, type PoolOptions, type SqlitePool } from '@sqlite-pool/core';
import { sqlite3 } from '@sqlite-pool/core/sqlite3';
import { betterSqlite3 } from '@sqlite-pool/core/better-sqlite3';
import { nodeSqlite } from '@sqlite-pool/core/node-sqlite';
import { sqlitePool as expressPool } from '@sqlite-pool/express';
import { sqlitePool as fastifyPool } from '@sqlite-pool/fastify';
import { sqlitePool as honoPool } from '@sqlite-pool/hono';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';

const options: PoolOptions = { filename: 'app.db', threads: 2, readonly: true };
const pool: SqlitePool = createPool(options);
export const driver: string = pool.stats().driver;
export const drivers = [nodeSqlite, betterSqlite3, sqlite3].map((make) => make({ filename: 'app.db' }));

interface User {
  id: number;
}

const app = fastify();
await app.register(fastifyPool, { filename: 'app.db' });
app.get('/', async (request): Promise<User | undefined> => await request.db.get<User>('SELECT 1 AS id'));

export const hono = new Hono()
  .use(honoPool({ filename: 'app.db' }))
  .get('/', async (c) => c.json(await c.get('db').get<User>('SELECT 1 AS id')));

express()
  .use(expressPool({ filename: 'app.db' }))
  .get('/', async (req, res) => {
    res.json(await req.db.get<User>('SELECT 1 AS id'));
  });
