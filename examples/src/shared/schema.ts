/** The tables of the social API. */
export const tables = `
  CREATE TABLE IF NOT EXISTS users (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch())
  ) STRICT;

  CREATE TABLE IF NOT EXISTS posts (
    id         INTEGER PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id),
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch())
  ) STRICT;

  CREATE TABLE IF NOT EXISTS comments (
    id         INTEGER PRIMARY KEY,
    post_id    INTEGER NOT NULL REFERENCES posts (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    body       TEXT    NOT NULL,
    created_at INTEGER NOT NULL DEFAULT (unixepoch())
  ) STRICT;

  -- The key is the table: one like per user and post, and the likes of a post stand side by side.
  CREATE TABLE IF NOT EXISTS likes (
    post_id    INTEGER NOT NULL REFERENCES posts (id),
    user_id    INTEGER NOT NULL REFERENCES users (id),
    PRIMARY KEY (post_id, user_id)
  ) STRICT, WITHOUT ROWID;
`;

/** Apart from the tables, because seeding builds them last. An index ends in the row's id: the newest come in order. */
export const indices = `
  CREATE INDEX IF NOT EXISTS comments_by_post ON comments (post_id);
`;

/** Everything an application needs at its start; it changes nothing that exists. */
export const schema = tables + indices;
