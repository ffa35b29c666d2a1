import type { Socket } from 'node:net';
import { outsideCalls, systemClock } from '../../waiting/deadline.ts';
import { RefusedError, serverError, StreamLostError } from './errors.ts';
import type {
  Answer,
  CursorChunk,
  Step,
  Stream,
  StreamEvents,
  StreamRequest,
  StreamResponse,
  WireCursor,
  WireError,
} from './protocol.ts';
import { nextRenewal, renewalOf, type TokenSource } from './token.ts';
import type { WebSocketLike, WebSocketModule } from './ws-package.ts';

/** How a socket is opened and watched. */
export interface SocketSettings {
  readonly url: string;
  readonly token: string | undefined;
  readonly tokens: TokenSource;
  /** How often a server that owes an answer is asked for a sign of life, in milliseconds. */
  readonly pingMs: number;
  readonly events: StreamEvents;
}

/** What the server sends. */
type ServerMessage =
  | { readonly type: 'hello_ok' }
  | { readonly type: 'hello_error'; readonly error: WireError }
  | { readonly type: 'response_ok'; readonly request_id: number; readonly response: StreamResponse }
  | { readonly type: 'response_error'; readonly request_id: number; readonly error: WireError };

/** One stream for each socket: the server limits both together, and a socket that ends takes all its streams with it. */
const STREAM = 1;
const CURSOR = 1;

type SocketRequest =
  | (StreamRequest & { readonly stream_id: number })
  | { readonly type: 'open_stream'; readonly stream_id: number }
  | {
      readonly type: 'open_cursor';
      readonly stream_id: number;
      readonly cursor_id: number;
      readonly batch: object;
    }
  | { readonly type: 'fetch_cursor'; readonly cursor_id: number; readonly max_count: number }
  | { readonly type: 'close_cursor'; readonly cursor_id: number };

interface Pending {
  readonly done: (answer: Answer, bytes: number) => void;
  readonly fail: (error: StreamLostError) => void;
}

/** Connects, greets and opens a stream in one go. Rejects with `RefusedError` or what the network says; `signal` ends the try. */
export function openSocket(
  module: WebSocketModule,
  settings: SocketSettings,
  signal: AbortSignal,
): Promise<SocketStream> {
  // The socket outlives the call that opens it.
  return outsideCalls(
    () =>
      new Promise((done, fail) => {
        const stream = new SocketStream(module, settings, { done, fail });
        signal.addEventListener('abort', () => stream.destroy(signal.reason), { once: true });
        if (signal.aborted) stream.destroy(signal.reason);
      }),
  );
}

interface Opening {
  readonly done: (stream: SocketStream) => void;
  readonly fail: (error: unknown) => void;
}

/** A stream on a WebSocket of its own. */
export class SocketStream implements Stream {
  readonly isSticky: boolean = true;
  position: number | undefined;
  readonly #socket: WebSocketLike;
  readonly #pingMs: number;
  readonly #events: StreamEvents;
  readonly #tokens: TokenSource;
  /** When the server is to have another token. */
  #renewAt: number;
  readonly #pending = new Map<number, Pending>();
  #tcp: Socket | undefined;
  #opening: Opening | undefined;
  /** `greeted`: the server has not said yet whether it takes the token. */
  #state: 'connecting' | 'greeted' | 'accepted' | 'open' | 'ended' = 'connecting';
  #end: unknown;
  #ids = 0;
  #cancelPing: (() => void) | undefined;
  #heard = true;

  constructor(
    module: WebSocketModule,
    { url, token, tokens, pingMs, events }: SocketSettings,
    opening: Opening,
  ) {
    this.#opening = opening;
    this.#pingMs = pingMs;
    this.#events = events;
    this.#tokens = tokens;
    this.#renewAt = renewalOf(token);
    this.#socket = new module.WebSocket(url, ['hrana3'], { perMessageDeflate: false });
    this.#socket.on('upgrade', (response) => (this.#tcp = response.socket));
    this.#socket.on('open', () => {
      this.#state = 'greeted';
      this.#socket.send(JSON.stringify({ type: 'hello', jwt: token ?? null }));
      this.#request({ type: 'open_stream', stream_id: STREAM }).then(
        ({ answer }) => this.#opened(answer),
        ignore,
      );
    });
    this.#socket.on('pong', () => (this.#heard = true));
    this.#socket.on('message', (data) => {
      try {
        this.#receive(data);
      } catch (error) {
        this.#lose(error);
      }
    });
    this.#socket.on('error', (error) =>
      this.#lose(isRefusal(error) ? new RefusedError(error.message) : error),
    );
    this.#socket.on('close', (code) => {
      const message = `The server has closed the connection (code ${String(code)}).`;
      // Without a word, when it has read the token: it does not like it.
      this.#lose(this.#state === 'greeted' ? new RefusedError(message) : new Error(message));
    });
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  async send(requests: readonly StreamRequest[]): Promise<readonly Answer[]> {
    if (Date.now() >= this.#renewAt) await this.#renew();
    const sent = requests.map((request) => this.#request({ ...request, stream_id: STREAM }));
    return (await Promise.all(sent)).map(({ answer }) => answer);
  }

  async cursor(steps: readonly Step[]): Promise<WireCursor> {
    const open = { type: 'open_cursor', stream_id: STREAM, cursor_id: CURSOR, batch: { steps } } as const;
    const { answer } = await this.#request(open);
    if (answer.type === 'error') {
      await this.#closeCursor();
      throw serverError(answer.error);
    }
    return { fetch: (most) => this.#fetch(most), close: () => this.#closeCursor() };
  }

  /** Without another token the server decides how long it goes on with the old one. */
  async #renew(): Promise<void> {
    const token = await this.#tokens().catch(ignore);
    this.#renewAt = nextRenewal(token);
    if (token !== undefined && this.isOpen) this.#socket.send(JSON.stringify({ type: 'hello', jwt: token }));
  }

  destroy(reason: unknown = new Error('The connection was closed.')): void {
    this.#finish(reason);
  }

  /** It ends without having been asked to. */
  #lose(reason: unknown): void {
    const wasOpen = this.#state === 'open';
    this.#finish(reason);
    if (wasOpen) this.#events.lost?.();
  }

  #finish(reason: unknown): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#end = reason;
    this.#cancelPing?.();
    this.#socket.terminate();
    this.#opening?.fail(reason);
    this.#opening = undefined;
    for (const { fail } of this.#pending.values()) fail(new StreamLostError(true, reason));
    this.#pending.clear();
  }

  async #fetch(most: number): Promise<CursorChunk> {
    const { answer, bytes } = await this.#request({
      type: 'fetch_cursor',
      cursor_id: CURSOR,
      max_count: most,
    });
    if (answer.type === 'error') throw serverError(answer.error);
    const { response } = answer;
    if (response.type !== 'fetch_cursor') throw this.#violation();
    return { entries: response.entries, done: response.done, bytes };
  }

  async #closeCursor(): Promise<void> {
    await this.#request({ type: 'close_cursor', cursor_id: CURSOR });
  }

  #request(request: SocketRequest): Promise<{ answer: Answer; bytes: number }> {
    return new Promise((done, fail) => {
      if (this.#state === 'ended') {
        fail(new StreamLostError(false, this.#end));
        return;
      }
      const id = (this.#ids += 1);
      this.#pending.set(id, { done: (answer, bytes) => done({ answer, bytes }), fail });
      this.#socket.send(JSON.stringify({ type: 'request', request_id: id, request }));
      this.#watch();
    });
  }

  #receive(data: Buffer): void {
    this.#heard = true;
    const message = JSON.parse(data.toString()) as ServerMessage;
    switch (message.type) {
      case 'hello_ok':
        if (this.#state === 'greeted') this.#state = 'accepted';
        return;
      case 'hello_error':
        this.#lose(new RefusedError(message.error.message));
        return;
      default: {
        const pending = this.#pending.get(message.request_id);
        this.#pending.delete(message.request_id);
        this.#rest();
        if (message.type === 'response_error')
          pending?.done({ type: 'error', error: message.error }, data.length);
        else {
          this.#note(message.response);
          pending?.done({ type: 'ok', response: message.response }, data.length);
        }
      }
    }
  }

  #opened(answer: Answer): void {
    if (answer.type === 'error') {
      this.destroy(serverError(answer.error));
      return;
    }
    this.#state = 'open';
    this.#opening?.done(this);
    this.#opening = undefined;
  }

  #note(response: StreamResponse): void {
    if (response.type !== 'execute' && response.type !== 'batch') return;
    const { replication_index: position } = response.result;
    if (position === null || position === undefined) return;
    this.position = Number(position);
    this.#events.position?.(this.position);
  }

  #violation(): Error {
    const error = new Error('The server has sent something else than was asked for.');
    this.destroy(error);
    return error;
  }

  /** While an answer is owed, the process waits for it, and the server must give a sign of life. */
  #watch(): void {
    this.#tcp?.ref();
    if (this.#pending.size > 1) return;
    this.#heard = true;
    if (this.#cancelPing === undefined) outsideCalls(() => this.#schedulePing());
  }

  /** The timer outlives the calls: one for each would cost each of them time. */
  #schedulePing(): void {
    this.#cancelPing = systemClock.schedule(
      () => {
        this.#cancelPing = undefined;
        if (this.#pending.size === 0) return;
        if (!this.#heard) {
          this.#lose(new Error('The server gives no sign of life.'));
          return;
        }
        this.#heard = false;
        this.#socket.ping();
        this.#schedulePing();
      },
      this.#pingMs,
      true,
    );
  }

  /** An idle socket does not keep the process alive. */
  #rest(): void {
    if (this.#pending.size === 0) this.#tcp?.unref();
  }
}

/** A proxy may refuse the token before there is a socket. */
function isRefusal({ message }: Error): boolean {
  return /^Unexpected server response: 40[13]$/.test(message);
}

function ignore(): undefined {
  // The end of the stream says it.
}
