import core = require('@sqlite-pool/core');
import fastifyPlugin = require('@sqlite-pool/fastify');
import nodeSqlite = require('@sqlite-pool/core/node-sqlite');

const pool: core.SqlitePool = core.createPool({ driver: nodeSqlite.nodeSqlite({ filename: 'app.db' }) });
export const driver: string = pool.stats().driver;
export const plugin: typeof fastifyPlugin.default = fastifyPlugin.sqlitePool;
