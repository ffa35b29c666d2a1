import { sqlitePool, type SqlitePoolOptions } from '../src/index.ts';
import { fastify, type FastifyInstance } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFile } from '../../../conformance/framework.ts';

describe('boot in Fastify', () => {
  it('F08 rejects ready(), listen() and inject() when the database cannot be opened', async () => {
    const filename = await temporaryFile('no-such-directory/app.db');
    for (const boot of [
      (app: FastifyInstance) => app.ready(),
      (app: FastifyInstance) => app.listen({ port: 0 }),
      (app: FastifyInstance) => app.inject('/'),
    ]) {
      const app = fastify();
      onTestFinished(() => app.close());
      void app.register(sqlitePool, { filename });
      await expect(boot(app)).rejects.toMatchObject({ code: 'OPEN_FAILED', reason: 'missing-directory' });
    }
  });

  it('resolves ready() and close() to what Fastify says, not to what the pool does', async () => {
    const app = fastify();
    await app.register(sqlitePool, { filename: await temporaryFile() });
    // A hook that resolved to a value would make them reject with it.
    await expect(app.ready()).resolves.toBe(app);
    await expect(app.close()).resolves.toBeUndefined();
  });

  it('rejects options that cannot work at the boot', async () => {
    const app = fastify();
    onTestFinished(() => app.close());
    // A mistake that TypeScript would catch.
    const options = { filename: 'app.db', lease: 'forever' } as object as SqlitePoolOptions;
    await expect(app.register(sqlitePool, options).ready()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
