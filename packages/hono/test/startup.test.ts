import { sqlitePool } from '../src/index.ts';
import { Hono } from 'hono';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFile } from '../../../conformance/framework.ts';

describe('a database that cannot be opened in Hono', () => {
  it('F08 answers 500 without a path or SQL when nobody awaited `ready`', async () => {
    const db = sqlitePool({ filename: await temporaryFile('no-such-directory/app.db') });
    onTestFinished(() => db.close());
    const app = new Hono().use(db).get('/', async (c) => c.json(await c.get('db').get('SELECT 1 AS one')));
    // Hono prints the errors it answers.
    const log = vi.spyOn(console, 'error').mockReturnValue();
    const answer = await app.request('/');
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toMatch(/no-such-directory|SELECT/);
    expect(log).toHaveBeenCalledTimes(1);
  });

  it('F08 rejects `ready` with the reason', async () => {
    const db = sqlitePool({ filename: await temporaryFile('no-such-directory/app.db') });
    onTestFinished(() => db.close());
    await expect(db.ready).rejects.toMatchObject({ code: 'OPEN_FAILED', reason: 'missing-directory' });
  });
});
