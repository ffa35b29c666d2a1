import { systemClock } from '../../waiting/deadline.ts';
import { LibsqlError, RefusedError, serverError, StreamLostError } from './errors.ts';
import { BodyLines } from './body-lines.ts';
import type {
  Answer,
  CursorChunk,
  CursorEntry,
  Step,
  Stream,
  StreamEvents,
  StreamRequest,
  StreamResponse,
  WireCursor,
  WireError,
} from './protocol.ts';
import { nextRenewal, renewalOf, type TokenSource } from './token.ts';

/** How requests are sent. */
export interface HttpSettings {
  readonly url: string;
  readonly token: string | undefined;
  readonly tokens: TokenSource;
  /** How often a server that owes an answer is asked for a sign of life, in milliseconds. */
  readonly pingMs: number;
  readonly events: StreamEvents;
}

/** The server forgets a stream that is idle for 10 seconds. One that nothing is open on is left in time, and another one begins. */
const FRESH_MS = 5000;

/** With these the server has done nothing. */
const NOT_SENT: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const NOT_DONE: ReadonlySet<number> = new Set([400, 401, 403, 404, 429]);
const REFUSED: ReadonlySet<number> = new Set([401, 403]);

/** What names a stream in its next request. */
interface Baton {
  readonly baton: string | null;
  readonly base_url: string | null;
}

type PipelineAnswer = Baton & {
  readonly results: readonly (
    | { readonly type: 'ok'; readonly response: StreamResponse }
    | { readonly type: 'error'; readonly error: WireError }
  )[];
};

/** Opens a stream: sends a request that does nothing. Rejects with `RefusedError` or what the network says. */
export async function openHttp(settings: HttpSettings, signal: AbortSignal): Promise<HttpStream> {
  const stream = new HttpStream(settings);
  const end = (): void => stream.destroy(signal.reason);
  signal.addEventListener('abort', end);
  try {
    signal.throwIfAborted();
    await stream.send([{ type: 'get_autocommit' }]);
    return stream;
  } catch (error) {
    throw error instanceof StreamLostError ? error.cause : error;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** A stream over HTTP: each answer has the baton for the next request. */
export class HttpStream implements Stream {
  /** Behind one address there may be several, and one may have been started again. */
  readonly isSticky: boolean = false;
  position: number | undefined;
  readonly #settings: HttpSettings;
  #token: string | undefined;
  /** When another token is to be used. */
  #renewAt: number;
  #base: string;
  #baton: string | null = null;
  #usedAt = 0;
  /** Whether another stream would be another one: in a transaction, or after a PRAGMA. */
  #isKept = false;
  #inTransaction = false;
  #running = new AbortController();
  #state: 'open' | 'ended' = 'open';
  #end: unknown;

  constructor(settings: HttpSettings) {
    this.#settings = settings;
    this.#base = settings.url;
    this.#token = settings.token;
    this.#renewAt = renewalOf(settings.token);
  }

  get isOpen(): boolean {
    return this.#state === 'open' && !(this.#isKept && !this.#isFresh);
  }

  get #isFresh(): boolean {
    return systemClock.now() - this.#usedAt < FRESH_MS;
  }

  keep(): void {
    this.#isKept = true;
  }

  async send(requests: readonly StreamRequest[]): Promise<readonly Answer[]> {
    const response = await this.#post('v3/pipeline', { requests: requests.map(forHttp) });
    const answer = (await this.#body(response.json())) as PipelineAnswer;
    this.#note(answer);
    for (const result of answer.results) if (result.type === 'ok') this.#learn(result.response);
    return answer.results;
  }

  async cursor(steps: readonly Step[]): Promise<WireCursor> {
    const { body } = await this.#post('v3/cursor', { batch: { steps } });
    const lines = new BodyLines(body);
    const first = (await this.#body(lines.next())) ?? '{}';
    // What fails as a whole has no cursor, and says so in its only line.
    const opened = JSON.parse(first) as Baton | WireError;
    if ('message' in opened) throw serverError(opened);
    this.#note(opened);
    return {
      fetch: (most) => this.#fetch(lines, most),
      close: () => lines.cancel(),
    };
  }

  destroy(reason: unknown = new Error('The connection was closed.')): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#end = reason;
    this.#running.abort(reason);
    // Or the server would keep its lock until it forgets the stream.
    if (this.#baton !== null && this.#inTransaction)
      this.#request('v3/pipeline', { baton: this.#baton, requests: [{ type: 'close' }] }).catch(ignore);
  }

  async #fetch(lines: BodyLines, most: number): Promise<CursorChunk> {
    const entries: CursorEntry[] = [];
    let bytes = 0;
    while (entries.length < most) {
      const line = await this.#body(lines.next());
      if (line === undefined) return { entries, bytes, done: true };
      bytes += line.length;
      entries.push(JSON.parse(line) as CursorEntry);
    }
    this.#usedAt = systemClock.now();
    return { entries, bytes, done: false };
  }

  async #post(path: string, body: object): Promise<Response> {
    if (this.#state === 'ended') throw new StreamLostError(false, this.#end);
    const baton = this.#isFresh || this.#inTransaction || this.#isKept ? this.#baton : null;
    this.#running = new AbortController();
    const { signal } = this.#running;
    const stopProbing = this.#probe();
    try {
      if (Date.now() >= this.#renewAt) await this.#renew();
      const response = await this.#request(path, { baton, ...body }, signal);
      if (response.ok) return response;
      const { status } = response;
      await response.body?.cancel();
      const lost = this.#lost(!NOT_DONE.has(status), statusError(status));
      // The token was good for less before.
      if (status === 403 && this.#usedAt > 0)
        throw new LibsqlError('SQLITE_AUTH', 'The token does not allow this statement.');
      throw lost;
    } catch (error) {
      if (error instanceof StreamLostError || error instanceof LibsqlError) throw error;
      const { cause } = error as { cause?: { code?: unknown } };
      throw this.#lost(!NOT_SENT.has(cause?.code), error);
    } finally {
      stopProbing();
    }
  }

  async #renew(): Promise<void> {
    const token = await this.#settings.tokens().catch(ignore);
    this.#token = token ?? this.#token;
    this.#renewAt = nextRenewal(token);
  }

  #request(path: string, body: object, signal?: AbortSignal): Promise<Response> {
    const token = this.#token;
    return fetch(new URL(path, this.#base), {
      method: 'POST',
      body: JSON.stringify(body),
      headers: {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      ...(signal !== undefined && { signal }),
    });
  }

  /** Waits for more of an answer whose head is there. */
  async #body<T>(work: Promise<T>): Promise<T> {
    const stopProbing = this.#probe();
    try {
      return await work;
    } catch (error) {
      throw this.#lost(true, error);
    } finally {
      stopProbing();
    }
  }

  /** While an answer is owed, the server must answer something else in every period. */
  #probe(): () => void {
    const { pingMs } = this.#settings;
    const probing = new AbortController();
    const probe = (): void => {
      const signal = AbortSignal.any([probing.signal, AbortSignal.timeout(pingMs)]);
      fetch(new URL('v3', this.#base), { signal })
        .then(async ({ body }) => {
          await body?.cancel();
          /* v8 ignore next -- an answer comes at the moment at which it is no longer wanted */
          if (!probing.signal.aborted) cancel = systemClock.schedule(probe, pingMs, true);
        })
        .catch(() => {
          /* v8 ignore next -- the answer comes while the server is asked for a sign of life */
          if (!probing.signal.aborted) this.#lost(true, new Error('The server gives no sign of life.'));
        });
    };
    let cancel = systemClock.schedule(probe, pingMs, true);
    return () => {
      probing.abort();
      cancel();
    };
  }

  #lost(sent: boolean, cause: unknown): StreamLostError {
    if (this.#state === 'open') {
      this.#state = 'ended';
      this.#end = cause;
      this.#running.abort(cause);
      this.#settings.events.lost?.();
    }
    return new StreamLostError(sent, this.#end);
  }

  #note({ baton, base_url }: Baton): void {
    this.#baton = baton;
    this.#usedAt = systemClock.now();
    if (base_url !== null) this.#base = base_url.endsWith('/') ? base_url : `${base_url}/`;
  }

  #learn(response: StreamResponse): void {
    if (response.type === 'get_autocommit') this.#inTransaction = !response.is_autocommit;
    if (response.type !== 'execute' && response.type !== 'batch') return;
    const { replication_index: position } = response.result;
    if (position === null || position === undefined) return;
    this.position = Number(position);
    this.#settings.events.position?.(this.position);
  }
}

/** The position that a replica must have goes with the statement. */
function forHttp(request: StreamRequest): StreamRequest {
  if (request.type !== 'execute' || request.replication_index === undefined) return request;
  const { stmt, replication_index } = request;
  return { type: 'execute', stmt: { ...stmt, replication_index } };
}

function statusError(status: number): Error {
  const message = `The server has answered with the status ${String(status)}.`;
  return REFUSED.has(status) ? new RefusedError(message) : new Error(message);
}

function ignore(): undefined {
  // The server forgets the stream by itself.
}
