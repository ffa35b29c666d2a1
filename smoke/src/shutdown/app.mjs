/** What the three applications that are shut down have in common. */

export const SCHEMA = 'CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, body TEXT)';
export const INSERT = "INSERT INTO notes (body) VALUES ('written')";

/** Some milliseconds, so that requests are under way at every moment. */
export const SLOW =
  'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT count(*) AS count FROM n';

/**
 * Tells the test where the application listens.
 *
 * @param {{ address(): unknown }} server
 */
export function started(server) {
  process.send?.(/** @type {import('node:net').AddressInfo} */ (server.address()).port);
  // Or the channel would keep the process alive.
  process.disconnect?.();
}
