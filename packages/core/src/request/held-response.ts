/**
 * Holds back a response of Node.js until the transaction of its request has ended.
 *
 * @module
 */
import { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import type { Readable } from 'node:stream';

/**
 * A response of Node.js, of HTTP/1 or HTTP/2, that the plugin can hold back until a decision is made.
 *
 * @example const response: HoldableResponse = serverResponse; // the one of a node:http request listener
 */
export type HoldableResponse = ServerResponse | Http2ServerResponse;

/**
 * Every output of a response goes through one of these methods: `res.json`, `reply.send`, `pipe` and all others call
 * them.
 */
const OUTPUT = ['writeHead', 'write', 'end', 'flushHeaders'] as const;
const HEADERS = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const;

type Output = (typeof OUTPUT)[number];
type Method = (...args: unknown[]) => unknown;

/**
 * What a held response waits for: a `RequestTransaction`.
 *
 * @example const decision: Decision = new RequestTransaction(lease);
 */
export interface Decision {
  /** Whether the response has to wait. */
  readonly isPending: boolean;
  /** Decides by the status of the answer. Rejects if the answer must be replaced. */
  settle(status: number): Promise<void>;
}

/**
 * Ends a transaction when `response` begins, whatever begins it: nothing is sent before the COMMIT or the rollback is
 * done. An answer that Node.js would refuse is refused before that. If the COMMIT fails, nothing has been sent: the
 * response is restored to its state at this call, and `fail` is called with the reason, so that it can send another
 * answer. Wrappers of the response's methods that were added earlier run after the COMMIT.
 *
 * @param response - The response to hold back.
 * @param transaction - The transaction of the request.
 * @param fail - Called with the reason if the COMMIT fails.
 * @example commitBefore(response, transaction, () => response.writeHead(500).end());
 */
export function commitBefore(
  response: HoldableResponse,
  transaction: Decision,
  fail: (error: unknown) => void,
): void {
  new HeldResponse(response, transaction, fail).intercept();
}

class HeldResponse {
  readonly #response: HoldableResponse;
  readonly #decision: Decision;
  readonly #fail: (error: unknown) => void;
  readonly #resetHead: () => void;
  readonly #restoreMethods: () => void;
  readonly #sources = new Set<Readable>();
  /** The held output, in order. */
  readonly #calls: (() => unknown)[] = [];
  /** The arguments of `writeHead`. */
  #head: readonly unknown[] = [];
  /**
   * `asked`: the wrappers of `writeHead` are reporting the head. `held whole`: the held answer is complete. `replaced`:
   * another answer has replaced it.
   */
  #state: 'untouched' | 'asked' | 'held' | 'held whole' | 'free' | 'replaced' = 'untouched';

  constructor(response: HoldableResponse, decision: Decision, fail: (error: unknown) => void) {
    this.#response = response;
    this.#decision = decision;
    this.#fail = fail;
    this.#resetHead = rememberHead(response);
    this.#restoreMethods = remember(response, [...OUTPUT, 'on']);
    response.on('pipe', (source: Readable) => this.#sources.add(source));
  }

  intercept(): void {
    const methods = OUTPUT.map(
      (name) => [name, (Reflect.get(this.#response, name) as Method).bind(this.#response)] as const,
    );
    const [[, writeHead]] = methods as [(typeof methods)[number]];
    for (const [name, output] of methods) {
      const send: Method = (...args) => {
        if (this.#state === 'untouched') this.#begin(name, args, writeHead);
        if (this.#state === 'free') return output(...args);
        if (this.#state === 'asked') this.#head = args;
        return this.#keep(name, args, output);
      };
      Reflect.set(this.#response, name, send);
    }
  }

  #begin(name: Output, args: readonly unknown[], writeHead: Method): void {
    const response = this.#response;
    if (!this.#decision.isPending) {
      this.#state = 'free';
      void this.#decision.settle(response.statusCode);
      return;
    }
    this.#head = name === 'writeHead' ? args : this.#askForHead();
    refuseHead(response, this.#head);
    refusePart(response, name, args);
    this.#state = 'held';
    const thaw = freeze(response, () => this.#state === 'held whole');
    this.#decision.settle(this.#head[0] as number).then(
      () => {
        thaw();
        this.#release(writeHead);
      },
      (error: unknown) => {
        thaw();
        this.#replace(error);
      },
    );
  }

  /** Runs the wrappers of `writeHead` that were added in the meantime, as Node.js does when it writes a head by itself. */
  #askForHead(): readonly unknown[] {
    const response = this.#response;
    const { statusCode } = response;
    this.#head = [statusCode];
    this.#state = 'asked';
    try {
      Reflect.apply(Reflect.get(response, 'writeHead') as Method, response, [statusCode]);
      return this.#head;
    } finally {
      this.#state = 'untouched';
    }
  }

  /**
   * Holds one piece of output. Drops a second answer, an error handler's for example: the first one counts, as it does
   * for the transaction.
   */
  #keep(name: Output, args: readonly unknown[], output: Method): unknown {
    if (this.#state === 'held') {
      const isSecondHead = name === 'writeHead' && this.#calls.length > 0;
      if (isSecondHead && args[0] !== this.#head[0]) throw headersSent();
      // Some middleware checks `_header` for a head, finds none, and writes the same head before each part. That one is
      // ignored.
      if (!isSecondHead) {
        refusePart(this.#response, name, args);
        this.#calls.push(() => output(...args));
      }
      if (name === 'end') this.#state = 'held whole';
    }
    return name === 'write' ? false : this.#response;
  }

  #release(writeHead: Method): void {
    const response = this.#response;
    this.#state = 'free';
    // The wrappers of `writeHead` have already run.
    const restore = remember(response, ['writeHead']);
    Reflect.set(response, 'writeHead', () => writeHead(...this.#head));
    try {
      const taken = this.#calls.map((call) => call());
      // A source that waits goes on, unless Node.js will emit `drain` by itself.
      if (!response.writableEnded && taken.at(-1) !== false) response.emit('drain');
    } catch {
      // It is too late for another answer, and no caller is left to catch the error: an unhandled rejection would end
      // the process.
      response.destroy();
    } finally {
      restore();
    }
  }

  #replace(error: unknown): void {
    this.#state = 'replaced';
    // Middleware that has wrapped these methods since then, to compress for example, has already seen the end of the
    // answer.
    this.#restoreMethods();
    // A source that is piped into this response must not go on in the answer that replaces it.
    for (const source of this.#sources) {
      source.unpipe(this.#response);
      this.#response.once('close', () => source.destroy());
    }
    this.#resetHead();
    try {
      this.#fail(error);
    } catch {
      this.#response.destroy();
    }
  }
}

/** After the COMMIT it would be too late to throw: the handler could no longer fail. */
function refuseHead(response: HoldableResponse, head: readonly unknown[]): void {
  const trial = trialOf(response);
  if (response instanceof ServerResponse) trial.statusMessage = response.statusMessage;
  (trial.writeHead as Method)(...head);
}

function refusePart(response: HoldableResponse, name: Output, [chunk]: readonly unknown[]): void {
  if (name !== 'write' && name !== 'end') return;
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) trialOf(response)[name](chunk);
}

/** A response that sends nothing. It does not matter if its request is one of HTTP/2. */
function trialOf({ req }: HoldableResponse): ServerResponse {
  return new ServerResponse(req as ServerResponse['req']);
}

/** Returns a function that restores the present status and headers of a response. */
function rememberHead(response: HoldableResponse): () => void {
  const { statusCode } = response;
  const headers = Object.entries(response.getHeaders());
  const restoreMessage = remember(response, ['statusMessage']);
  return () => {
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    for (const [name, value] of headers) if (value !== undefined) response.setHeader(name, value);
    restoreMessage();
    response.statusCode = statusCode;
  };
}

/** Returns a function that restores the present own properties of `response` with these names. */
function remember(response: HoldableResponse, names: readonly string[]): () => void {
  const own = names.map((name) => [name, Object.getOwnPropertyDescriptor(response, name)] as const);
  return () => {
    for (const [name, descriptor] of own) {
      if (descriptor === undefined) Reflect.deleteProperty(response, name);
      else Object.defineProperty(response, name, descriptor);
    }
  };
}

/**
 * Freezes the head, as Node.js does when it has sent it. Returns a function that ends this. When the held answer is
 * complete, changes of the headers are ignored. Before that, they throw.
 */
function freeze(response: HoldableResponse, isWhole: () => boolean): () => void {
  const { statusCode } = response;
  const restore = remember(response, ['headersSent', 'writableEnded', 'statusMessage', ...HEADERS]);
  const refuse = (): HoldableResponse => {
    if (isWhole()) return response;
    throw headersSent();
  };
  Object.defineProperty(response, 'headersSent', { configurable: true, get: () => !isWhole() });
  Object.defineProperty(response, 'writableEnded', { configurable: true, get: isWhole });
  for (const name of HEADERS)
    Object.defineProperty(response, name, { configurable: true, writable: true, value: refuse });
  return () => {
    restore();
    response.statusCode = statusCode;
  };
}

function headersSent(): Error {
  const error = new Error('Cannot change headers after they were sent.');
  return Object.assign(error, { code: 'ERR_HTTP_HEADERS_SENT' });
}
