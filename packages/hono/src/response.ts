import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { HoldableResponse, ResponseEvents } from '@sqlite-pool/core/plugin';
import type { Context } from 'hono';

/**
 * The response on other runtimes than Node.js, and in `app.request()`. It follows the signal of the request, which aborts when the
 * client leaves. Deno also aborts the signal after every response, so the signal counts only until the handler is done. Reading the
 * signal is slow, so nothing reads it before the first statement.
 */
export class SignalledResponse implements ResponseEvents {
  readonly headersSent = false;
  writableEnded = false;
  readonly #request: { readonly signal?: AbortSignal | undefined };

  /** Not every runtime gives its requests a signal. */
  constructor(request: { readonly signal?: AbortSignal | undefined }) {
    this.#request = request;
  }

  get closed(): boolean {
    return this.#request.signal?.aborted === true;
  }

  once(_event: 'close', listener: () => void): void {
    this.#request.signal?.addEventListener('abort', listener, { once: true });
  }

  writeHead(): void {
    // Never called: the Response has the only head.
  }
}

/** The bindings of @hono/node-server. */
interface NodeEnv {
  readonly incoming?: Partial<IncomingMessage>;
  readonly outgoing?: HoldableResponse;
}

/** The response of Node.js. In app.request() and on other runtimes there is none, and the name may mean something else. */
export function nodeResponse({ env }: Context): HoldableResponse | undefined {
  const { outgoing } = Object(env) as NodeEnv;
  return typeof outgoing?.writeHead === 'function' ? outgoing : undefined;
}

/** The connection of a request that asks for a WebSocket. */
export function webSocketOf({ env }: Context): Socket | undefined {
  const { incoming, outgoing } = Object(env) as NodeEnv;
  const socket = outgoing === undefined ? incoming?.socket : undefined;
  return typeof socket?.once === 'function' ? socket : undefined;
}

/** A WebSocket has no response. After the answer to its request only messages follow, until it closes. */
export function webSocketEvents(c: Context): ResponseEvents | undefined {
  const socket = webSocketOf(c);
  return (
    socket && {
      closed: socket.closed,
      headersSent: false,
      writableEnded: false,
      once: (event, listener) => socket.once(event, listener),
      writeHead: () => undefined,
    }
  );
}
