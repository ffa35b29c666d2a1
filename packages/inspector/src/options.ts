import { InvalidArgumentError } from '@sqlite-pool/core';
import type { SqlitePool } from '@sqlite-pool/core';

/**
 * The part of a pool that the inspector uses.
 *
 * @example const pool: InspectedPool = createPool({ filename: 'app.db' });
 */
export type InspectedPool = Pick<SqlitePool, 'inspect' | 'explain' | 'all'>;

/**
 * What the inspector needs of a request. Those of Node.js and Fastify have these fields.
 *
 * @example const request: InspectorRequest = { method: 'GET', path: '/state.json', headers: {} };
 */
export interface InspectorRequest {
  readonly method: string;
  /** The path below the place where the inspector is mounted, with the query: `/`, `/state.json?pool=0`. */
  readonly path: string;
  /** By names in small letters. */
  readonly headers: {
    readonly authorization?: string | undefined;
    readonly cookie?: string | undefined;
    readonly [name: string]: string | readonly string[] | undefined;
  };
}

/**
 * An answer, for any server.
 *
 * @example const { status, headers, body }: InspectorResponse = await inspector.handle(request);
 */
export interface InspectorResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty for a HEAD request. */
  readonly body: string;
}

/**
 * The options of {@link createInspector}: `pool` or `pools`, and who may see the page.
 *
 * @example const options: InspectorOptions = { pool, auth: basicAuth('admin', password) };
 */
export type InspectorOptions = InspectorAccess &
  (
    | {
        /** The pool to show. */
        readonly pool: InspectedPool;
        readonly pools?: never;
      }
    | {
        /** Several pools, which the page lets the reader choose from. */
        readonly pools: readonly InspectedPool[];
        readonly pool?: never;
      }
  );

/**
 * Who may see the page.
 *
 * @example const access: InspectorAccess = { auth: ({ headers }) => isAdmin(headers.cookie) };
 */
export interface InspectorAccess {
  /**
   * Says whether a request may see the page; called for each request, those for data included. `false` is answered with 401
   * and a question for a name and a password. {@link basicAuth} makes one. None by default.
   */
  readonly auth?: ((request: InspectorRequest) => boolean | Promise<boolean>) | undefined;
  /**
   * `true` lets the inspector work in production without `auth`: because something in front of it checks, or
   * because all may see it. `false` by default.
   */
  readonly unsafePublic?: boolean | undefined;
  /** The time in milliseconds since 1970. The time of the system by default. */
  readonly now?: (() => number) | undefined;
}

/**
 * The inspector was created in production (`NODE_ENV`) without `auth` and without `unsafePublic: true`.
 *
 * @example
 * try {
 *   createInspector({ pool });
 * } catch (error) {
 *   if (error instanceof UnprotectedInspectorError) console.error('Set INSPECTOR_PASSWORD.');
 * }
 */
export class UnprotectedInspectorError extends Error {
  override readonly name: string = 'UnprotectedInspectorError';
  /** To compare, where a class may exist twice. */
  readonly code = 'UNPROTECTED_INSPECTOR' as const;

  constructor() {
    super(
      'In production the inspector needs the option auth, as auth: basicAuth(name, password). If something in front of it checks who may see it, or all may see it, say so with unsafePublic: true.',
    );
  }
}

/** What the options mean. */
export interface InspectorSettings {
  readonly pools: readonly InspectedPool[];
  readonly auth: (request: InspectorRequest) => boolean | Promise<boolean>;
  readonly now: () => number;
}

const KNOWN = new Set(['pool', 'pools', 'auth', 'unsafePublic', 'now']);

/** Checks what TypeScript checks, because an application may not use it, and whether the page is protected. */
export function checkInspectorOptions(options: InspectorOptions): InspectorSettings {
  const unknown = Object.keys(options).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) throw new InvalidArgumentError(`createInspector has no option ${unknown}.`);
  const { pool, pools, auth, unsafePublic, now } = options;
  const all = [...(pools ?? []), ...(pool === undefined ? [] : [pool])];
  if (all.length === 0 || ('pool' in options && 'pools' in options)) {
    throw new InvalidArgumentError('createInspector needs either pool, or pools with at least one pool.');
  }
  if (all.some((one) => typeof one.inspect !== 'function')) {
    throw new InvalidArgumentError('createInspector got something that is not a pool of @sqlite-pool/core.');
  }
  if (auth !== undefined && typeof auth !== 'function') {
    throw new InvalidArgumentError('The option auth must be a function that returns true or false.');
  }
  if (unsafePublic !== undefined && typeof unsafePublic !== 'boolean') {
    throw new InvalidArgumentError('The option unsafePublic must be true or false.');
  }
  if (auth === undefined && unsafePublic !== true && process.env['NODE_ENV'] === 'production') {
    throw new UnprotectedInspectorError();
  }
  return { pools: [...new Set(all)], auth: auth ?? (() => true), now: now ?? systemNow };
}

/** Read once: each call of a pool asks for the time twice. */
const { timeOrigin } = performance;

/** Never goes back, and knows parts of a millisecond. */
function systemNow(): number {
  return timeOrigin + performance.now();
}
