import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Comment, Post } from '../src/shared/queries.ts';
import type { RunningServer } from '../src/shared/server.ts';
import { missing, seededDatabase } from './database.ts';
import { examples } from './examples.ts';
import { get, post } from './http.ts';

describe.skipIf(missing)('three frameworks on one database', () => {
  let servers: RunningServer[];

  beforeAll(async () => {
    const database = await seededDatabase();
    servers = await Promise.all(examples.map(({ start }) => start(0, database)));
  });
  afterAll(() => Promise.all(servers.map((server) => server.close())));

  const readPost = async ({ url }: RunningServer, id: number) =>
    (await get(`${url}/posts/${id}`)).body as Post & { comments: Comment[] };

  it('read through each what was written through any', async () => {
    for (const [id, writer] of servers.entries()) {
      const { body: comment } = await post(`${writer.url}/posts/${id + 1}/comments`, {
        userId: 1,
        body: 'Read me',
      });
      for (const reader of servers) expect((await readPost(reader, id + 1)).comments[0]).toEqual(comment);
    }
  });

  it('answer every one of 150 writes at once, because their pools share one write lock', async () => {
    const answers = await Promise.all(
      servers.flatMap(({ url }) =>
        Array.from({ length: 50 }, (_, index) => post(`${url}/posts/10/likes`, { userId: index + 1 })),
      ),
    );
    expect(answers.every(({ status }) => status === 200 || status === 201)).toBe(true);
    // The same fifty likes three times, some of which were there before.
    const [first] = servers;
    expect((await readPost(first!, 10)).likes).toBe(50);
  });
});
