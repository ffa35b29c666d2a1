import { systemClock } from '../../waiting/deadline.ts';
import { OpenError, SqlitePoolError } from '../../errors.ts';
import { RefusedError } from './errors.ts';
import { openHttp } from './http.ts';
import type { Endpoint, LibsqlSettings } from './options.ts';
import type { Stream, StreamEvents } from './protocol.ts';
import { openSocket } from './socket.ts';
import { loadWebSocket } from './ws-package.ts';

/** Between two tries to reach a server that cannot be reached, in milliseconds. */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 500;

/** Opens streams to one server. While that fails, few try, and the others fail at once with what the last try has said. */
export class Connector {
  readonly #endpoint: Endpoint;
  readonly #settings: LibsqlSettings;
  readonly #events: StreamEvents;
  #failures = 0;
  #failure: unknown;
  #nextTryAt = 0;

  constructor(endpoint: Endpoint, settings: LibsqlSettings, events: StreamEvents = {}) {
    this.#endpoint = endpoint;
    this.#settings = settings;
    this.#events = events;
  }

  /** Opens a stream. Rejects with an `OpenError` or with the reason of the signal. */
  async open(signal?: AbortSignal): Promise<Stream> {
    if (this.#failure !== undefined && systemClock.now() < this.#nextTryAt) throw unreachable(this.#failure);
    try {
      const stream = await this.#connect(signal);
      this.#failures = 0;
      this.#failure = undefined;
      return stream;
    } catch (error) {
      signal?.throwIfAborted();
      throw this.#failed(error);
    }
  }

  async #connect(signal: AbortSignal | undefined): Promise<Stream> {
    const { connectTimeoutMs, pingMs } = this.#settings;
    const ended = new AbortController();
    const end = (): void => ended.abort(signal?.reason);
    signal?.addEventListener('abort', end);
    const cancel = systemClock.schedule(() => {
      ended.abort(new Error(`The server has not answered in ${String(connectTimeoutMs)} ms.`));
    }, connectTimeoutMs);
    try {
      signal?.throwIfAborted();
      const { url, wire } = this.#endpoint;
      const events = this.#events;
      const module = wire === 'socket' ? await loadWebSocket() : undefined;
      const tokens = this.#settings.token;
      const stream = { url, pingMs, events, tokens, token: await tokens() };
      return await (module === undefined
        ? openHttp(stream, ended.signal)
        : openSocket(module, stream, ended.signal));
    } finally {
      cancel();
      signal?.removeEventListener('abort', end);
    }
  }

  #failed(error: unknown): unknown {
    if (error instanceof SqlitePoolError) return error;
    if (error instanceof RefusedError)
      return new OpenError(
        'not-permitted',
        'The server of the database does not take the token, or none was given.',
        error,
      );
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    // At different moments: all clients of a server that is back would else come together.
    this.#nextTryAt = systemClock.now() + pause * (0.5 + Math.random() / 2);
    this.#failures += 1;
    this.#failure = error;
    return unreachable(error);
  }
}

function unreachable(cause: unknown): OpenError {
  return new OpenError('unreachable', 'The server of the database cannot be reached.', cause);
}
