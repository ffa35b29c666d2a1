import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { HoldableResponse, ResponseEvents } from '@sqlite-pool/core/plugin';
import type { Context } from 'hono';

/**
 * What there is of a response on other runtimes than Node.js, and in `app.request()`: the signal of the request, which aborts
 * when the client leaves. Deno aborts it after every response, too, so it counts only until the handler is done. It is
 * not touched before the first statement, because reading it has a price.
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
    // Nobody calls it: there is no head but that of the Response.
  }
}

/** What @hono/node-server gives. */
interface NodeEnv {
  readonly incoming?: Partial<IncomingMessage>;
  readonly outgoing?: HoldableResponse;
}

/** The response of Node.js; there is none in app.request() and on other runtimes, where the name could be anybody's. */
export function nodeResponse({ env }: Context): HoldableResponse | undefined {
  const { outgoing } = Object(env) as NodeEnv;
  return typeof outgoing?.writeHead === 'function' ? outgoing : undefined;
}

/** The connection that a request asks to make a WebSocket of. */
export function webSocketOf({ env }: Context): Socket | undefined {
  const { incoming, outgoing } = Object(env) as NodeEnv;
  const socket = outgoing === undefined ? incoming?.socket : undefined;
  return typeof socket?.once === 'function' ? socket : undefined;
}

/** A WebSocket has no response: once its request is answered, all that follows are messages, until it closes. */
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
