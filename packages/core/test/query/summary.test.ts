import { describe, expect, it } from 'vitest';
import { querySummary } from '../../src/query/summary.ts';

describe('the summary of a statement', () => {
  it.each([
    ['SELECT * FROM users JOIN posts ON users.id = posts.author', 'SELECT users posts'],
    ['SELECT * FROM users AS u JOIN posts p ON "x" = p.y', 'SELECT users posts'],
    ['SELECT a FROM t WHERE b IS NOT DISTINCT FROM "x"', 'SELECT t'],
    ['INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET b = 1', 'INSERT t'],
    ['INSERT OR REPLACE INTO "my table" SELECT * FROM main.u', 'INSERT my table u'],
    ['UPDATE t SET a = 1 FROM u WHERE t.x = u.x', 'UPDATE t u'],
    ['DELETE FROM t WHERE a IN (SELECT b FROM u)', 'DELETE t u'],
    ['WITH x AS (SELECT * FROM y) INSERT INTO z SELECT * FROM x', 'INSERT y z x'],
    ['CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a)', 'CREATE t'],
    ['CREATE TABLE t (a REFERENCES u ON DELETE CASCADE ON UPDATE CASCADE)', 'CREATE t'],
    ['PRAGMA main.user_version', 'PRAGMA user_version'],
    ['-- FROM a\nSELECT 1 /* FROM b */ FROM c', 'SELECT c'],
    ["SELECT 'FROM it''s' FROM t", 'SELECT t'],
    ['', ''],
  ])('%s: %s', (sql, summary) => {
    expect(querySummary(sql)).toBe(summary);
  });

  it.each(['VACUUM INTO "/srv/backup/app.db"', 'ATTACH "/srv/app.db" AS other', '"secret" = 1'])(
    'has no quoted text that is no name of a table: %s',
    (sql) => {
      expect(querySummary(sql)).toBe(/^\w*/.exec(sql)?.[0]);
    },
  );

  it('has at most 255 characters', () => {
    expect(querySummary(`SELECT * FROM ${'t'.repeat(1000)}`)).toHaveLength(255);
  });

  it.each(['[', '"', '`', "'", '"a', '[a', '` [', '[ "', '/*', '--', 'a.', '.', 'FROM ', "''", 'é'])(
    'takes no time that grows with the square of the text: %s, repeated',
    (part) => {
      const since = performance.now();
      querySummary(part.repeat(1_000_000 / part.length));
      querySummary(part.repeat(8000 / part.length));
      // With the square it was a minute.
      expect(performance.now() - since).toBeLessThan(5000);
    },
  );
});
