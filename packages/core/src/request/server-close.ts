import { systemClock } from '../waiting/deadline.ts';
import { InvalidArgumentError } from '../errors.ts';

/** The part of an HTTP/2 session that the shutdown uses. */
interface ServerSession {
  close(): void;
  destroy(): void;
  once(event: 'close', listener: () => void): unknown;
}

/** The part of a TCP connection that the shutdown uses, below TLS and any protocol. */
interface ServerSocket {
  destroy(): void;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * The part of a Node.js server that the shutdown uses: `node:http`, `node:https` or `node:http2`.
 *
 * @example const server: ClosableServer = http.createServer(listener).listen(3000);
 */
export interface ClosableServer {
  close(callback: () => void): unknown;
  closeIdleConnections?(): void;
  closeAllConnections?(): void;
  once(event: 'close', listener: () => void): unknown;
  on(event: 'session', listener: (session: ServerSession) => void): unknown;
  on(event: 'connection', listener: (socket: ServerSocket) => void): unknown;
  prependListener(
    event: 'request',
    listener: (request: unknown, response: { setHeader(name: string, value: string): unknown }) => void,
  ): unknown;
}

/**
 * Options of {@link closeWithServer}.
 *
 * @example db.closeWith(server, { signals: ['SIGTERM', 'SIGINT'], timeoutMs: 5000 });
 */
export interface ShutdownOptions {
  /**
   * Process signals that begin the shutdown. A second signal ends the process, as it does without this option. Default:
   * none.
   */
  readonly signals?:
    readonly ('SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGQUIT' | 'SIGBREAK' | 'SIGUSR2')[] | undefined;
  /** How long, in milliseconds, requests may go on before their connections are ended. Default: 10 000. */
  readonly timeoutMs?: number | undefined;
}

/** The interval for closing idle connections, in milliseconds. It is short compared with the grace time of a deployment. */
const CHECK_MS = 50;

/**
 * Closes a pool after its server, so that no request finds it closed. The returned function begins the shutdown, and so
 * do `signals` and a `server.close()` of your own. The server accepts no new connection. Connections with a running
 * request end with its answer. When all connections have ended, `close` is called. The function resolves when that is
 * done, and never rejects; every call returns the same promise. Throws `InvalidArgumentError` for an option that is
 * invalid.
 *
 * @example
 * const shutdown = closeWithServer(server, () => pool.close(), { signals: ['SIGTERM'] });
 * await shutdown();
 */
export function closeWithServer(
  server: ClosableServer,
  close: () => Promise<void>,
  options: ShutdownOptions = {},
): () => Promise<void> {
  const { signals = [], timeoutMs = 10_000 } = checkShutdown(server, options);
  const sessions = new Set<ServerSession>();
  // An HTTP/2 client keeps its session until the server closes it.
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  // closeAllConnections() does not know all sockets that keep a server open: those of a WebSocket, of a CONNECT, with a
  // running TLS handshake, or of HTTP/1 on an HTTP/2 server.
  const sockets = new Set<ServerSocket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  let done: Promise<void> | undefined;
  const shutdown = (): Promise<void> => {
    for (const signal of signals) process.off(signal, onSignal);
    return (done ??= closeServer(server, sessions, sockets, timeoutMs).then(close));
  };
  const onSignal = (): void => {
    void shutdown();
  };
  for (const signal of signals) process.on(signal, onSignal);
  server.once('close', onSignal);
  return shutdown;
}

function checkShutdown(server: unknown, options: unknown): ShutdownOptions {
  if (typeof (server as Partial<ClosableServer> | null)?.close !== 'function') {
    throw new InvalidArgumentError('The server must be one of Node.js: http, https or http2.');
  }
  if (typeof options !== 'object' || options === null) {
    throw new InvalidArgumentError('The options of a shutdown must be an object.');
  }
  const { signals, timeoutMs, ...rest } = options as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`Unknown option "${unknown}". Known are: signals, timeoutMs.`);
  }
  if (
    signals !== undefined &&
    !(Array.isArray(signals) && signals.every((name) => typeof name === 'string'))
  ) {
    throw new InvalidArgumentError("Option signals must be an array, like ['SIGTERM'].");
  }
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs >= 0)) {
    throw new InvalidArgumentError('Option timeoutMs must be a number of milliseconds from 0.');
  }
  return options;
}

/** Resolves when no connection is left. */
function closeServer(
  server: ClosableServer,
  sessions: ReadonlySet<ServerSession>,
  sockets: ReadonlySet<ServerSocket>,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve) => {
    let cancelCheck: (() => void) | undefined;
    const endIdle = (): void => {
      server.closeIdleConnections?.();
      cancelCheck = systemClock.schedule(endIdle, CHECK_MS);
    };
    const cancelDeadline =
      timeoutMs === Infinity
        ? undefined
        : systemClock.schedule(() => {
            server.closeAllConnections?.();
            for (const session of sessions) session.destroy();
            for (const socket of sockets) socket.destroy();
          }, timeoutMs);
    if (server.closeIdleConnections !== undefined) {
      // A request that still comes on a kept-alive connection is answered, and is its last one.
      server.prependListener('request', (_request, response) => response.setHeader('connection', 'close'));
    }
    // A server that is already closed calls back with an error, which makes no difference.
    server.close(() => {
      cancelCheck?.();
      cancelDeadline?.();
      resolve();
    });
    for (const session of sessions) session.close();
    endIdle();
  });
}
