import type { Opened, Row } from '../contender.ts';

/** What is asked of the social data set of the examples: an identity card of a post, and the page below it. */
export const POST =
  'SELECT posts.id, posts.body, posts.created_at AS createdAt, users.name AS author ' +
  'FROM posts JOIN users ON users.id = posts.user_id WHERE posts.id = ?';
export const COMMENTS =
  'SELECT comments.id, comments.post_id AS postId, comments.body, users.name AS author ' +
  'FROM comments JOIN users ON users.id = comments.user_id ' +
  'WHERE comments.post_id = ? ORDER BY comments.id DESC LIMIT 20';

/** Reads of posts in an order that no cache can guess, and that is the same every time; each is checked. */
export class Reads {
  readonly #database: Opened;
  readonly #posts: number;
  #round = 0;

  private constructor(database: Opened, posts: number) {
    this.#database = database;
    this.#posts = posts;
  }

  static async of(database: Opened): Promise<Reads> {
    const row = await database.get('SELECT count(*) AS n FROM posts', []);
    return new Reads(database, Number(row?.['n']));
  }

  async post(): Promise<void> {
    const id = this.#next();
    const row = await this.#database.get(POST, [id]);
    if (row?.['id'] !== id || !isText(row, 'body') || !isText(row, 'author'))
      throw new Error(`Post ${id} was read as ${JSON.stringify(row)}.`);
  }

  async comments(): Promise<void> {
    const id = this.#next();
    const rows = await this.#database.all(COMMENTS, [id]);
    let before = Infinity;
    for (const row of rows) {
      const at = Number(row['id']);
      if (row['postId'] !== id || !(at < before) || !isText(row, 'author'))
        throw new Error(`The comments of post ${id} were read as ${JSON.stringify(rows)}.`);
      before = at;
    }
    // Every post of the data set has more of them.
    if (rows.length !== 20) throw new Error(`Post ${id} had ${rows.length} comments.`);
  }

  #next(): number {
    this.#round += 1;
    return 1 + ((this.#round * 7919) % this.#posts);
  }
}

function isText(row: Row, name: string): boolean {
  return typeof row[name] === 'string' && row[name] !== '';
}
