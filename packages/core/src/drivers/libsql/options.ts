import { LONGEST_DELAY_MS } from '../../waiting/deadline.ts';
import { InvalidArgumentError } from '../../errors.ts';
import { tokenSource, type TokenSource } from './token.ts';

/**
 * Options of the driver for a libSQL server.
 *
 * @example const options: LibsqlOptions = { url: 'ws://db.internal:8080', authToken: process.env['DB_TOKEN'] };
 */
export interface LibsqlOptions {
  /**
   * Where the server is: `ws:` or `wss:`, which is faster and needs the `ws` package, or `http:`, `https:` or `libsql:` (the same as
   * `https:`). Without a user, a password or a token in it.
   */
  readonly url: string;
  /** The token, or a function that is asked for one when a connection is opened, and before the last one expires. It is never part of a message. */
  readonly authToken?: string | (() => string | Promise<string>) | undefined;
  /** Where replicas of the server are, for `reads: 'replica'`. */
  readonly replicas?: readonly string[] | undefined;
  /**
   * Where reads outside a transaction run: at the `primary`, or at a `replica` that has every write that was acknowledged in this
   * process before. The server then has a table `_sqlite_pool_fence`. Default `primary`.
   */
  readonly reads?: 'primary' | 'replica' | undefined;
  /** How long a replica that is behind is waited for before the primary is read, in milliseconds. Default 50. */
  readonly replicaWaitMs?: number | undefined;
  /** How long a connection may take to open, in milliseconds. Default 5000. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * A server that owes an answer is asked for a sign of life so often, in milliseconds: a dead one is noticed after at most twice
   * as long. Default 2000.
   */
  readonly pingMs?: number | undefined;
  /** The most that a cursor inside a transaction keeps in memory, in bytes: there it is read at once. Default 67 108 864 (64 MiB). */
  readonly bufferBytes?: number | undefined;
}

/** A server, and how it is spoken to. */
export interface Endpoint {
  readonly url: string;
  readonly wire: 'socket' | 'http';
  /** The same for every spelling of an address, without what must not be shown. */
  readonly id: string;
}

/** The options, checked and complete. */
export interface LibsqlSettings {
  readonly primary: Endpoint;
  /** Where to read; empty if that is at the primary. */
  readonly replicas: readonly Endpoint[];
  readonly replicaWaitMs: number;
  readonly token: TokenSource;
  readonly connectTimeoutMs: number;
  readonly pingMs: number;
  readonly bufferBytes: number;
}

const KNOWN = [
  'url',
  'authToken',
  'replicas',
  'reads',
  'replicaWaitMs',
  'connectTimeoutMs',
  'pingMs',
  'bufferBytes',
];
const PLAIN: ReadonlySet<string> = new Set(['ws:', 'http:']);
const PROTOCOLS: ReadonlySet<string> = new Set([...PLAIN, 'wss:', 'https:', 'libsql:']);

/** Checks the options of a driver and completes them. */
export function checkLibsqlOptions(options: LibsqlOptions): LibsqlSettings {
  if (typeof options !== 'object' || (options as unknown) === null)
    throw new InvalidArgumentError('The options of libsql() must be an object.');
  const unknown = Object.keys(options).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(
      `Unknown option "${unknown}" of libsql(). Known are: ${KNOWN.join(', ')}.`,
    );
  const { url, authToken, replicas = [], reads = 'primary', replicaWaitMs = 50 } = options;
  const { connectTimeoutMs = 5000, pingMs = 2000, bufferBytes = 67_108_864 } = options;
  return {
    primary: endpoint('url', url),
    replicas: replicaEndpoints(replicas, reads),
    replicaWaitMs: within('replicaWaitMs', replicaWaitMs, 1, LONGEST_DELAY_MS),
    token: tokenSource(authToken),
    connectTimeoutMs: within('connectTimeoutMs', connectTimeoutMs, 1, LONGEST_DELAY_MS),
    pingMs: within('pingMs', pingMs, 1, LONGEST_DELAY_MS),
    bufferBytes: within('bufferBytes', bufferBytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

function replicaEndpoints(replicas: readonly string[], reads: unknown): Endpoint[] {
  if (!Array.isArray(replicas)) throw new InvalidArgumentError('Option replicas must be an array of URLs.');
  const endpoints = replicas.map((url: unknown) => endpoint('replicas', url));
  if (reads !== 'primary' && reads !== 'replica')
    throw new InvalidArgumentError("Option reads must be 'primary' or 'replica'.");
  if (reads === 'replica' && endpoints.length === 0)
    throw new InvalidArgumentError(
      "Option reads is 'replica', and there are no replicas: give their URLs, as replicas.",
    );
  return reads === 'replica' ? endpoints : [];
}

/** Never shows what it was given: there may be a password in it. */
function endpoint(name: string, given: unknown): Endpoint {
  const url = typeof given === 'string' ? URL.parse(given) : null;
  if (url === null) throw new InvalidArgumentError(`Option ${name} must be a URL: ws://host:port.`);
  if (!PROTOCOLS.has(url.protocol))
    throw new InvalidArgumentError(`Option ${name} must begin with one of: ${[...PROTOCOLS].join(', ')}.`);
  if (url.username !== '' || url.password !== '')
    throw new InvalidArgumentError(
      `Option ${name} has a user or a password in it. Give a token, with authToken.`,
    );
  if (url.searchParams.size > 0 || url.hash !== '')
    throw new InvalidArgumentError(
      `Option ${name} has a query or a fragment, which nobody would read. A token belongs in authToken.`,
    );
  const port = url.port === '' ? (PLAIN.has(url.protocol) ? '80' : '443') : url.port;
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  return {
    url: `${url.protocol === 'libsql:' ? 'https:' : url.protocol}//${url.host}${path}`,
    wire: url.protocol.startsWith('ws') ? 'socket' : 'http',
    id: `libsql:${url.hostname.toLowerCase()}:${port}${path}`,
  };
}

function within(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw new InvalidArgumentError(`Option ${name} must be a number from ${String(min)} to ${String(max)}.`);
}
