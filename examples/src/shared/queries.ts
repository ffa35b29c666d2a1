/**
 * Everything the social API asks of its database.
 *
 * Each function takes a `Queryable`, so it works on the pool, on a request's handle and inside a transaction alike.
 */
import type { Queryable } from '@sqlite-pool/core';

import { HttpError } from './errors.ts';

export interface User {
  readonly id: number;
  readonly name: string;
  readonly createdAt: number;
}

export interface Post {
  readonly id: number;
  readonly author: string;
  readonly body: string;
  readonly createdAt: number;
  readonly likes: number;
}

export interface Comment {
  readonly id: number;
  readonly author: string;
  readonly body: string;
  readonly createdAt: number;
}

export interface FeedPage {
  readonly posts: readonly Post[];
  /** The `before` of the next page, or null on the last one. */
  readonly nextBefore: number | null;
}

const selectPost = `
  SELECT posts.id, users.name AS author, posts.body, posts.created_at AS createdAt,
         (SELECT count(*) FROM likes WHERE likes.post_id = posts.id) AS likes
  FROM posts JOIN users ON users.id = posts.user_id`;

const selectComment = `
  SELECT comments.id, users.name AS author, comments.body, comments.created_at AS createdAt
  FROM comments JOIN users ON users.id = comments.user_id`;

/** A user and a post that exist; null if there is none. */
export async function sampleIds(db: Queryable): Promise<{ user: number | null; post: number | null }> {
  const ids = await db.get<{ user: number | null; post: number | null }>(
    'SELECT (SELECT min(id) FROM users) AS user, (SELECT max(id) FROM posts) AS post',
  );
  return ids ?? { user: null, post: null };
}

export async function findUser(db: Queryable, id: number): Promise<User> {
  const user = await db.get<User>('SELECT id, name, created_at AS createdAt FROM users WHERE id = ?', [id]);
  return user ?? notFound('user', id);
}

export async function findPost(db: Queryable, id: number): Promise<Post & { comments: readonly Comment[] }> {
  const post = (await db.get<Post>(`${selectPost} WHERE posts.id = ?`, [id])) ?? notFound('post', id);
  const comments = await db.all<Comment>(
    `${selectComment} WHERE comments.post_id = ? ORDER BY comments.id DESC LIMIT 20`,
    [id],
  );
  return { ...post, comments };
}

/** A page by key instead of by OFFSET: page one thousand costs what page one does. */
export async function readFeed(
  db: Queryable,
  { before = Number.MAX_SAFE_INTEGER, limit }: { before?: number | undefined; limit: number },
): Promise<FeedPage> {
  // One row more than asked for tells whether another page follows.
  const rows = await db.all<Post>(`${selectPost} WHERE posts.id < ? ORDER BY posts.id DESC LIMIT ?`, [
    before,
    limit + 1,
  ]);
  const posts = rows.slice(0, limit);
  return { posts, nextBefore: rows.length > limit ? (posts.at(-1)?.id ?? null) : null };
}

export function addComment(
  db: Queryable,
  postId: number,
  { userId, body }: { userId: number; body: string },
): Promise<Comment> {
  return db.transaction(async (tx) => {
    await mustExist(tx, postId, userId);
    const { lastInsertRowid } = await tx.run(
      'INSERT INTO comments (post_id, user_id, body) VALUES (?, ?, ?)',
      [postId, userId, body],
    );
    const comment = await tx.get<Comment>(`${selectComment} WHERE comments.id = ?`, [lastInsertRowid]);
    return comment ?? notFound('comment', lastInsertRowid);
  });
}

/** Adds a like once; `created` is false if it was there already. */
export function addLike(
  db: Queryable,
  postId: number,
  { userId }: { userId: number },
): Promise<{ created: boolean; likes: number }> {
  return db.transaction(async (tx) => {
    await mustExist(tx, postId, userId);
    const { changes } = await tx.run(
      'INSERT INTO likes (post_id, user_id) VALUES (?, ?) ON CONFLICT DO NOTHING',
      [postId, userId],
    );
    const row = await tx.get<{ likes: number }>('SELECT count(*) AS likes FROM likes WHERE post_id = ?', [
      postId,
    ]);
    return { created: changes === 1, likes: row?.likes ?? 0 };
  });
}

/** Throwing inside a transaction rolls it back. */
async function mustExist(tx: Queryable, postId: number, userId: number): Promise<void> {
  if (!(await tx.get('SELECT 1 FROM posts WHERE id = ?', [postId]))) notFound('post', postId);
  if (!(await tx.get('SELECT 1 FROM users WHERE id = ?', [userId]))) notFound('user', userId);
}

function notFound(what: string, id: number | bigint): never {
  throw new HttpError(404, `There is no ${what} ${id}`);
}
