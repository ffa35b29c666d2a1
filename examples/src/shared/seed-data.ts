/** How many rows of each kind. Twice the likes per post must not be more than the users: nobody likes a post twice. */
interface Scale {
  readonly users: number;
  readonly posts: number;
  readonly comments: number;
  readonly likes: number;
}

export const scales = {
  tiny: { users: 60, posts: 30, comments: 900, likes: 600 },
  small: { users: 12_000, posts: 1_200, comments: 60_000, likes: 120_000 },
  medium: { users: 120_000, posts: 12_000, comments: 600_000, likes: 1_200_000 },
  full: { users: 1_200_000, posts: 120_000, comments: 6_000_000, likes: 12_000_000 },
} satisfies Record<string, Scale>;

export type ScaleName = keyof typeof scales;

/** How one table is filled. */
export interface Step {
  readonly table: string;
  /** Makes the rows of the numbers :from to :to. */
  readonly sql: string;
  /** What the statement binds besides those two. */
  readonly params: Readonly<Record<string, number>>;
  /** How many numbers there are, and how many rows one stands for. */
  readonly count: number;
  readonly rowsEach: number;
}

const firstNames =
  'Ada Alan Barbara Dennis Edsger Frances Grace Hedy Ida John Katherine Linus Margaret Niklaus Radia Tim';
const lastNames =
  'Allen Bell Church Dahl Ericsson Floyd Gray Hopper Iverson Jones Knuth Lamport Milner Naur Perlman Wirth';
const openings =
  'A short history of|Five myths about|In praise of|Notes on|Please be kind to|What I learned about';
const topics = 'checkpoints|indices|joins|pragmas|query plans|transactions|triggers|window functions';
const remarks =
  'Could you share the query?|I had the same thing last week.|Not sure I agree.|So true.|Thank you!|This saved my afternoon.|What does the plan say?';

/** A number that looks random and is the same every time: Knuth's multiplicative hash, without its weak low bits. */
const hash = (prime: number, of = 'i') => `(((${of}) * ${prime} & 4294967295) >> 9)`;

/** One of the words; they are constants of this file, so they may stand in the SQL. */
const pick = (words: string[], number: string) =>
  `CASE ${number} % ${words.length} ${words.map((word, index) => `WHEN ${index} THEN '${word}'`).join(' ')} END`;

const numbers =
  'WITH RECURSIVE numbers (i) AS (SELECT :from UNION ALL SELECT i + 1 FROM numbers WHERE i < :to)';

export function seedSteps({ users, posts, comments, likes }: Scale): readonly Step[] {
  const name = `${pick(firstNames.split(' '), hash(2654435761))} || ' ' || ${pick(lastNames.split(' '), hash(2246822519))}`;
  const title = `${pick(openings.split('|'), hash(3266489917))} || ' ' || ${pick(topics.split('|'), hash(374761393))}`;
  return [
    {
      table: 'users',
      sql: `${numbers} INSERT INTO users (id, name, created_at) SELECT i, ${name}, 1600000000 + i * 60 FROM numbers`,
      params: {},
      count: users,
      rowsEach: 1,
    },
    {
      table: 'posts',
      sql: `${numbers} INSERT INTO posts (id, user_id, body, created_at)
            SELECT i, 1 + ${hash(668265263)} % :users, ${title}, 1700000000 + i * 60 FROM numbers`,
      params: { users },
      count: posts,
      rowsEach: 1,
    },
    {
      table: 'comments',
      sql: `${numbers} INSERT INTO comments (id, post_id, user_id, body, created_at)
            SELECT i, 1 + ${hash(2654435761)} % :posts, 1 + ${hash(2246822519)} % :users,
                   ${pick(remarks.split('|'), hash(3266489917))}, 1720000000 + i * 4 FROM numbers`,
      params: { posts, users },
      count: comments,
      rowsEach: 1,
    },
    likesStep(users, posts, likes / posts),
  ];
}

/**
 * Posts go in pairs: one has as many likes above the usual number as the other has below it.
 *
 * The rows come in the order of their key, post by post and user by user, because appending to a table that is stored
 * by its key is several times faster than inserting anywhere into it.
 */
function likesStep(users: number, posts: number, usual: number): Step {
  const likesOfPost = `:usual + (post.i % 2 * 2 - 1) * (${hash(2654435761, '(post.i + 1) / 2')} % :usual)`;
  return {
    table: 'likes',
    sql: `WITH RECURSIVE
            post (i) AS (SELECT :from UNION ALL SELECT i + 1 FROM post WHERE i < :to),
            nth (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM nth WHERE i < 2 * :usual)
          INSERT INTO likes (post_id, user_id)
          SELECT post.i, 1 + nth.i * :stride + (post.i * 7 + nth.i * 3) % :stride
          FROM post CROSS JOIN nth WHERE nth.i < ${likesOfPost}`,
    params: { usual, stride: Math.floor(users / (2 * usual)) },
    count: posts,
    rowsEach: usual,
  };
}
