/* eslint-disable @typescript-eslint/no-require-imports -- what TypeScript has for CommonJS */
import core = require('@sqlite-pool/core');
import nodeSqlite = require('@sqlite-pool/core/node-sqlite');

const driver: core.Driver = nodeSqlite.nodeSqlite({ filename: 'app.db' });
const pool: core.SqlitePool = core.createPool({ driver });
const name: string = pool.stats().driver;
console.log(name);
