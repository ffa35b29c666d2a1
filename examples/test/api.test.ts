import { createPool, type SqlitePool } from '@sqlite-pool/core';
import { beforeAll, describe, expect, it } from 'vitest';

import type { Comment, FeedPage, Post } from '../src/shared/queries.ts';
import * as http from './http.ts';
import { missing, seededDatabase } from './database.ts';
import { examples } from './examples.ts';

const someName: unknown = expect.stringMatching(/^\w+ \w+$/);
const someText: unknown = expect.stringMatching(/./);
const someNumber: unknown = expect.any(Number);

describe.skipIf(missing).each(examples)('the social API on $name', ({ start }) => {
  let url: string;
  /** Beside the server, on the same database: what the tests look at and prepare. */
  let pool: SqlitePool;

  beforeAll(async () => {
    const database = await seededDatabase();
    pool = createPool(database);
    const server = await start(0, database);
    url = server.url;
    return async () => {
      await server.close();
      await pool.close();
    };
  });

  const get = (path: string) => http.get(url + path);
  const post = (path: string, body: object | string) => http.post(url + path, body);
  const count = async (sql: string, ...params: number[]) => (await pool.get<{ n: number }>(sql, params))!.n;
  const countComments = (id: number) => count('SELECT count(*) AS n FROM comments WHERE post_id = ?', id);
  const countLikes = (id: number) => count('SELECT count(*) AS n FROM likes WHERE post_id = ?', id);

  describe('GET /users/:id', () => {
    it('answers with the user', async () => {
      const { status, body } = await get('/users/7');
      expect(status).toBe(200);
      expect(body).toEqual({ id: 7, name: someName, createdAt: 1600000420 });
    });

    it('answers 404 with a message when there is no such user', async () => {
      const { status, body } = await get('/users/61');
      expect(status).toBe(404);
      expect(body).toEqual({ message: 'There is no user 61' });
    });
  });

  describe('GET /posts/:id', () => {
    it('answers with the post, its author, the number of likes and the twenty latest comments', async () => {
      const { status, body } = await get('/posts/3');
      const { comments, ...rest } = body as Post & { comments: Comment[] };
      expect(status).toBe(200);
      expect(rest).toEqual({
        id: 3,
        author: someName,
        body: someText,
        createdAt: 1700000180,
        likes: await countLikes(3),
      });
      const latest = await pool.all(
        'SELECT id, body FROM comments WHERE post_id = 3 ORDER BY id DESC LIMIT 20',
      );
      expect(comments.map(({ id, body }) => ({ id, body }))).toEqual(latest);
      expect(comments).toHaveLength(20);
    });

    it('answers 404 with a message when there is no such post', async () => {
      const { status, body } = await get('/posts/31');
      expect(status).toBe(404);
      expect(body).toEqual({ message: 'There is no post 31' });
    });
  });

  describe('GET /feed', () => {
    it('begins with the newest post and has twenty to a page', async () => {
      const { status, body } = await get('/feed');
      const { posts, nextBefore } = body as FeedPage;
      expect(status).toBe(200);
      expect(posts.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, index) => 30 - index));
      expect(nextBefore).toBe(11);
    });

    it('has every post once when each page is asked for with the nextBefore of the one before it', async () => {
      const seen: number[] = [];
      for (let before: number | null = 1000; before !== null;) {
        const { body } = await get(`/feed?limit=7&before=${before}`);
        const page = body as FeedPage;
        seen.push(...page.posts.map(({ id }) => id));
        before = page.nextBefore;
      }
      expect(seen).toEqual(Array.from({ length: 30 }, (_, index) => 30 - index));
    });

    it('does not promise another page when the last one is exactly full', async () => {
      const { body } = await get('/feed?limit=10&before=11');
      expect((body as FeedPage).posts).toHaveLength(10);
      expect((body as FeedPage).nextBefore).toBeNull();
    });
  });

  describe('POST /posts/:id/comments', () => {
    it('answers 201 with the comment, which is then the latest of its post', async () => {
      const { status, body } = await post('/posts/5/comments', { userId: 2, body: '  Good morning  ' });
      expect(status).toBe(201);
      expect(body).toEqual({
        id: someNumber,
        author: someName,
        body: 'Good morning',
        createdAt: someNumber,
      });
      const { body: read } = await get('/posts/5');
      expect((read as { comments: Comment[] }).comments[0]).toEqual(body);
    });

    it.each([
      ['post', '/posts/31/comments', 1, 'There is no post 31'],
      ['user', '/posts/6/comments', 61, 'There is no user 61'],
    ])('answers 404 and writes nothing when there is no such %s', async (_what, path, userId, message) => {
      const before = await count('SELECT count(*) AS n FROM comments');
      const { status, body } = await post(path, { userId, body: 'Hello' });
      expect(status).toBe(404);
      expect(body).toEqual({ message });
      expect(await count('SELECT count(*) AS n FROM comments')).toBe(before);
    });

    it('keeps SQL in a body as the text that it is', async () => {
      const text = `'); DROP TABLE comments; --`;
      const { status, body } = await post('/posts/7/comments', { userId: 1, body: text });
      expect(status).toBe(201);
      expect((body as Comment).body).toBe(text);
      expect(await countComments(7)).toBeGreaterThan(1);
    });
  });

  describe('POST /posts/:id/likes', () => {
    it('answers 201 for a new like and 200 when it exists, and counts it once', async () => {
      await pool.run('DELETE FROM likes WHERE post_id = 8 AND user_id = 4');
      const before = await countLikes(8);
      const first = await post('/posts/8/likes', { userId: 4 });
      const second = await post('/posts/8/likes', { userId: 4 });
      expect([first.status, second.status]).toEqual([201, 200]);
      expect([first.body, second.body]).toEqual([{ likes: before + 1 }, { likes: before + 1 }]);
    });

    it('answers 404 with a message when the post or the user does not exist', async () => {
      const [noPost, noUser] = await Promise.all([
        post('/posts/31/likes', { userId: 1 }),
        post('/posts/1/likes', { userId: 61 }),
      ]);
      expect([noPost.status, noUser.status]).toEqual([404, 404]);
      expect([noPost.body, noUser.body]).toEqual([
        { message: 'There is no post 31' },
        { message: 'There is no user 61' },
      ]);
    });
  });

  describe('what clients get wrong', () => {
    it.each([
      ['/users/abc', 'id'],
      ['/users/0', 'id'],
      ['/users/-1', 'id'],
      ['/users/1.5', 'id'],
      ['/users/99999999999999999999', 'id'],
      ['/posts/1%20OR%201=1', 'id'],
      ['/posts/1;DROP%20TABLE%20users', 'id'],
      ['/feed?limit=0', 'limit'],
      ['/feed?limit=51', 'limit'],
      ['/feed?limit=many', 'limit'],
      ['/feed?before=', 'before'],
      [`/feed?before=1'--`, 'before'],
      ['/feed?before=1&before=2', 'before'],
    ])('GET %s answers 400 with a message about %s', async (path, field) => {
      const { status, body } = await get(path);
      expect(status).toBe(400);
      expect((body as { message: string }).message).toMatch(new RegExp(`^${field}: `));
      expect(await count('SELECT count(*) AS n FROM users')).toBe(60);
    });

    it.each([
      [{}, 'userId'],
      [{ userId: 1 }, 'body'],
      [{ userId: 1, body: '   ' }, 'body'],
      [{ userId: 1, body: 'x'.repeat(2001) }, 'body'],
      [{ userId: '1', body: 'Hello' }, 'userId'],
      [{ userId: { id: 1 }, body: 'Hello' }, 'userId'],
      [{ userId: 1, body: ['Hello'] }, 'body'],
    ])('POST /posts/1/comments with %j answers 400 with a message about %s', async (comment, field) => {
      const { status, body } = await post('/posts/1/comments', comment);
      expect(status).toBe(400);
      expect((body as { message: string }).message).toContain(`${field}: `);
    });

    it.each(['{"userId": 1, "body"', '', 'null', '[]'])(
      'POST with the JSON %j answers 400 with a message',
      async (json) => {
        const { status, body } = await post('/posts/1/comments', json);
        expect(status).toBe(400);
        expect(body).toEqual({ message: someText });
      },
    );

    it('answers 413 to a body of two megabytes', async () => {
      const { status } = await post('/posts/1/comments', { userId: 1, body: 'x'.repeat(2_000_000) });
      expect(status).toBe(413);
    });
  });

  it('answers fifty writes and fifty reads at once, and loses none', async () => {
    const before = await countComments(9);
    await pool.run('DELETE FROM likes WHERE post_id = 9');
    const answers = await Promise.all(
      Array.from({ length: 25 }, (_, index) => [
        post('/posts/9/comments', { userId: index + 1, body: `Comment ${index}` }),
        post('/posts/9/likes', { userId: index + 1 }),
        get('/posts/9'),
        get('/feed?limit=50'),
      ]).flat(),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(25).fill([201, 201, 200, 200]).flat());
    expect(await countComments(9)).toBe(before + 25);
    expect(await countLikes(9)).toBe(25);
  });
});
