import type { PluginSettings } from './plugin-options.ts';
import type { SqlitePool } from '../pool.ts';
import { closeWithServer, type ClosableServer, type ShutdownOptions } from './server-close.ts';

/**
 * What a plugin has that is a middleware, besides that: what outlives a request.
 *
 * @example const db: PluginHandle = sqlitePool({ filename: 'app.db' });
 */
export interface PluginHandle {
  /** The connection pool. */
  readonly pool: SqlitePool;
  /** Resolves when a first connection is open; rejects if the database cannot be opened. Await it before you listen. */
  readonly ready: Promise<void>;
  /** Closes the pool, unless it was given and `closePool` is not set. Call it after the server has closed. */
  close(): Promise<void>;
  /**
   * Closes the pool after its server; the function returned closes both, as do `signals` and `server.close()`. Every
   * request that has begun is answered, or ended after `timeoutMs` (10 seconds). Throws `InvalidArgumentError`.
   * @example db.closeWith(server, { signals: ['SIGTERM', 'SIGINT'] });
   */
  closeWith(server: ClosableServer, options?: ShutdownOptions): () => Promise<void>;
}

/**
 * Opens the pool of a plugin, and makes its handle.
 *
 * @example return Object.assign(middleware, pluginHandle(pluginSettings(options)));
 */
export function pluginHandle({
  pool,
  closesPool,
}: Pick<PluginSettings, 'pool' | 'closesPool'>): PluginHandle {
  const ready = pool.open().then(() => undefined);
  // If nobody awaits it, the first request finds out.
  ready.catch(() => undefined);
  const close = async (): Promise<void> => {
    if (closesPool) await pool.close();
  };
  return { pool, ready, close, closeWith: (server, options) => closeWithServer(server, close, options) };
}
