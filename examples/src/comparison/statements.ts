/** What every contestant is asked. Each statement has one parameter, a number. */
export const statements = {
  read: 'SELECT id, name, created_at FROM users WHERE id = ?',
  write: `INSERT INTO comments (post_id, user_id, body) VALUES (1, ?, 'One of 64 writes')`,
  /** It counts up to its parameter: no index makes it shorter, and no row leaves SQLite. */
  query: `WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)
          SELECT count(*) AS n FROM numbers`,
} as const;

export type StatementName = keyof typeof statements;

/** The same for all three. The journal mode is a property of the file, the rest one of each connection. */
export const PRAGMAS = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;';

/** Whether SQLite or the pool said that the database is locked. The three name it differently. */
export function isBusy(error: unknown): boolean {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  if (typeof errcode === 'number') return (errcode & 0xff) === 5; // node:sqlite: SQLITE_BUSY and its extended codes
  return typeof code === 'string' && /^(SQLITE_)?BUSY/.test(code); // better-sqlite3, and the pool
}
