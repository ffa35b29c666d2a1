import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import request from 'supertest';
import { expect, it } from 'vitest';
import { runExample } from '../../../conformance/readme-example.ts';

it("the README's example runs as it stands, and stops without leaving a WAL behind", async () => {
  const { url, directory, stop } = await runExample(join(import.meta.dirname, '..'));
  const created = await request(url).post('/notes').send({ body: 'hello' });
  expect(created).toMatchObject({ status: 201, body: { id: 1 } });
  expect(await request(url).get('/notes')).toMatchObject({ status: 200, body: [{ id: 1, body: 'hello' }] });
  expect(await request(url).get('/notes/1')).toMatchObject({ status: 200, body: { id: 1, body: 'hello' } });
  expect(await request(url).get('/notes/2')).toMatchObject({ status: 404 });
  expect(await stop()).toBe(0);
  expect(await readdir(directory)).toEqual(['example.mjs', 'notes.db']);
});
