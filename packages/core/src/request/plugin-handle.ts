import type { PluginSettings } from './plugin-options.ts';
import type { SqlitePool } from '../pool.ts';
import { closeWithServer, type ClosableServer, type ShutdownOptions } from './server-close.ts';

/**
 * The part of a middleware plugin that outlives a request.
 *
 * @example const db: PluginHandle = sqlitePool({ filename: 'app.db' });
 */
export interface PluginHandle {
  /** The connection pool. */
  readonly pool: SqlitePool;
  /** Resolves when the first connection is open. Rejects if the database cannot be opened. Await it before you listen. */
  readonly ready: Promise<void>;
  /** Closes the pool, unless you passed an existing pool without `closePool`. Call it after the server has closed. */
  close(): Promise<void>;
  /**
   * Closes the pool after its server. The returned function closes both, and so do `signals` and `server.close()`.
   * Every request that has begun is answered, or ended after `timeoutMs` (10 seconds). Throws `InvalidArgumentError`.
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
  // If the application does not await it, the first request reports the error.
  ready.catch(() => undefined);
  const close = async (): Promise<void> => {
    if (closesPool) await pool.close();
  };
  return { pool, ready, close, closeWith: (server, options) => closeWithServer(server, close, options) };
}
