import { sqlitePool } from '@sqlite-pool/express';
import express from 'express';
import { INSERT, SCHEMA, SLOW, started } from './app.mjs';

const db = sqlitePool({ filename: process.argv[2] ?? '' });
await db.ready;
await db.pool.script(SCHEMA);

const app = express();
app.use(db);
app.get('/', async (req, res) => {
  res.json(await req.db.get(SLOW));
});
app.post('/', async (req, res) => {
  await req.db.get(SLOW);
  res.json(await req.db.run(INSERT));
});

const server = app.listen(0, '127.0.0.1', () => started(server));
db.closeWith(server, { signals: ['SIGTERM'] });
