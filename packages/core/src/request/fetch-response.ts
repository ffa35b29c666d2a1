import { validateHeaderValue, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { HoldableResponse } from './held-response.ts';
import type { ResponseEvents } from './request-lifetime.ts';
import { RequestTransaction } from './request-transaction.ts';

/** A request of the Fetch API. Not every runtime gives its requests a signal. */
interface FetchRequest {
  readonly signal?: AbortSignal | undefined;
}

/** What an adapter for Node.js passes beside the request, as @hono/node-server does. Elsewhere the names may mean something else. */
interface NodeBindings {
  readonly incoming?: Partial<IncomingMessage>;
  readonly outgoing?: HoldableResponse;
}

/**
 * How a framework handles a request, for {@link FetchResponse.settle}.
 *
 * @example const handling: FetchHandling = { run: next, handle: () => request.db, result: () => answer, drop: () => answer };
 */
export interface FetchHandling {
  /** Runs what comes after the plugin. */
  readonly run: () => Promise<void>;
  /** The handle that the request has now: its lease, or its transaction. */
  readonly handle: () => unknown;
  /** The answer of the handler; `undefined` if the request failed. */
  readonly result: () => Response | undefined;
  /** Removes the answer, its headers included, and returns it. Another answer takes its place. */
  readonly drop: () => Response | undefined;
}

/**
 * The answer to a request in a framework whose handlers return a `Response`. It follows the response of Node.js if
 * there is one, else the connection of a WebSocket, else the signal of the request.
 *
 * @example
 * const answer = new FetchResponse(request, env);
 * const lease = new RequestLease(pool, { mode, disconnectGraceMs, method: request.method, response: answer.events });
 * // … when the handler is done:
 * answer.end(response.status);
 * lease.respond();
 */
export class FetchResponse {
  /** For the lease of the request. */
  readonly events: ResponseEvents;
  /** The response of Node.js. */
  readonly outgoing: HoldableResponse | undefined;
  /** The connection of a request that asks for a WebSocket. */
  readonly #socket: Socket | undefined;
  readonly #signalled: SignalledResponse;

  /**
   * @param request - The request of the Fetch API.
   * @param env - What the adapter of the runtime passes beside it: `{ incoming, outgoing }` on Node.js.
   */
  constructor(request: FetchRequest, env: unknown) {
    const { incoming, outgoing } = Object(env) as NodeBindings;
    const socket = outgoing === undefined ? incoming?.socket : undefined;
    this.outgoing = typeof outgoing?.writeHead === 'function' ? outgoing : undefined;
    this.#socket = typeof socket?.once === 'function' ? socket : undefined;
    this.#signalled = new SignalledResponse(request);
    this.events = this.outgoing ?? (this.#socket && webSocketEvents(this.#socket)) ?? this.#signalled;
  }

  /**
   * The handler is done. Call it before `lease.respond()`.
   *
   * @param status - The status of its answer. Where Node.js has no response to ask, the log of the request needs it.
   */
  end(status?: number): void {
    this.#signalled.statusCode = status;
    this.#signalled.writableEnded = true;
  }

  /**
   * Runs the handler, and ends the transaction that the request may have become in the meantime, before the response
   * leaves. Rejects with the reason if the handler or the COMMIT fails: another answer takes the place of this one.
   *
   * @example await response.settle({ run: next, handle: () => request.db, result: () => answer, drop: () => answer });
   */
  async settle({ run, handle, result, drop }: FetchHandling): Promise<void> {
    const transaction = (): RequestTransaction | undefined => {
      const current = handle();
      return current instanceof RequestTransaction ? current : undefined;
    };
    try {
      await run();
      const own = transaction();
      if (own?.isPending === true) await own.settle(statusOf(result()));
    } catch (error) {
      const own = transaction();
      if (own !== undefined) {
        await own.settle(500);
        this.#discard(drop());
      }
      throw error;
    }
  }

  #discard(response: Response | undefined): void {
    // The socket would still become a WebSocket.
    this.#socket?.destroy();
    try {
      response?.body?.cancel().catch(() => undefined);
    } catch {
      // This answer is not valid.
    }
  }
}

/**
 * The response on other runtimes than Node.js, and in tests without a server. It follows the signal of the request, which
 * aborts when the client leaves. Deno also aborts the signal after every response, so the signal counts only until the
 * handler is done. Reading the signal is slow, so nothing reads it before the first statement.
 */
class SignalledResponse implements ResponseEvents {
  readonly headersSent = false;
  readonly endsSilently = true;
  statusCode: number | undefined;
  writableEnded = false;
  readonly #request: FetchRequest;

  constructor(request: FetchRequest) {
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

/** A WebSocket has no response. After the answer to its request only messages follow, until it closes. */
function webSocketEvents(socket: Socket): ResponseEvents {
  return {
    closed: socket.closed,
    headersSent: false,
    writableEnded: false,
    once: (event, listener) => socket.once(event, listener),
    writeHead: () => undefined,
  };
}

/** Throws for an answer that is not valid or that Node.js would refuse. After the COMMIT this would be too late. */
function statusOf(response: Response | undefined): number {
  if (response === undefined) return 500;
  // @hono/node-server makes the response when its body is asked for.
  Reflect.get(response, 'body');
  for (const [header, value] of response.headers) validateHeaderValue(header, value);
  return response.status;
}
