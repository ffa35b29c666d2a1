import { sqlitePool } from '@sqlite-pool/fastify';
import fastify from 'fastify';
import { INSERT, SCHEMA, SLOW, started } from './app.mjs';

const app = fastify({ return503OnClosing: false });
await app.register(sqlitePool, { filename: process.argv[2] ?? '' });
await app.sqlite.script(SCHEMA);

app.get('/', (request) => request.db.get(SLOW));
app.post('/', async (request) => {
  await request.db.get(SLOW);
  return request.db.run(INSERT);
});

app.addHook('preClose', async () => {
  const idle = setInterval(() => app.server.closeIdleConnections(), 50);
  app.server.once('close', () => clearInterval(idle));
});
process.once('SIGTERM', () => void app.close());

await app.listen({ port: 0, host: '127.0.0.1' });
started(app.server);
