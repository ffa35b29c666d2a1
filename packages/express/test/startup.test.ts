import { sqlitePool } from '../src/index.ts';
import express from 'express';
import request from 'supertest';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { temporaryFile } from '../../../conformance/framework.ts';

describe('a database that cannot be opened in Express', () => {
  it('F08 answers 500 without a path or SQL when nobody awaited `ready`', async () => {
    const filename = await temporaryFile('no-such-directory/app.db');
    const db = sqlitePool({ filename });
    onTestFinished(() => db.close());
    const app = express().set('env', 'production').use(db);
    app.get('/', async (req, res) => res.json(await req.db.get('SELECT 1 AS one')));
    // Express prints the errors it answers in production.
    const log = vi.spyOn(console, 'error').mockReturnValue();
    const { status, text } = await request(app).get('/');
    expect(status).toBe(500);
    expect(text).not.toMatch(/no-such-directory|SELECT/);
    await vi.waitFor(() => {
      expect(log).toHaveBeenCalledTimes(1);
    });
  });

  it('F08 rejects `ready` with the reason', async () => {
    const db = sqlitePool({ filename: await temporaryFile('no-such-directory/app.db') });
    onTestFinished(() => db.close());
    await expect(db.ready).rejects.toMatchObject({ code: 'OPEN_FAILED', reason: 'missing-directory' });
  });
});
