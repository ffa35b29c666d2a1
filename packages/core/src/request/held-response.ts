import { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import type { Readable } from 'node:stream';

/**
 * A response of Node.js that can be kept until something is decided, of HTTP/1 or HTTP/2.
 *
 * @example const response: HoldableResponse = serverResponse; // the one of a node:http request listener
 */
export type HoldableResponse = ServerResponse | Http2ServerResponse;

/** Whatever a response sends goes through one of these: `res.json`, `reply.send`, `pipe` and all others call them. */
const OUTPUT = ['writeHead', 'write', 'end', 'flushHeaders'] as const;
const HEADERS = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const;

type Output = (typeof OUTPUT)[number];
type Method = (...args: unknown[]) => unknown;

/** What a response waits for. */
export interface Decision {
  /** Whether there is something to wait for. */
  readonly isPending: boolean;
  /** Decides by the status of the answer; rejects if that must become another one. */
  settle(status: number): Promise<void>;
}

/**
 * Keeps what `response` sends until `decision` is settled, so that a failure can still become another answer. It is settled when the
 * answer begins, after the wrappers of `writeHead` that were added meanwhile, and only if Node.js would take the answer. If it
 * rejects, the response is as it was when this was called, nothing has been sent, and `fail` is called with the reason.
 */
export function holdResponse(
  response: HoldableResponse,
  decision: Decision,
  fail: (error: unknown) => void,
): void {
  new HeldResponse(response, decision, fail).intercept();
}

class HeldResponse {
  readonly #response: HoldableResponse;
  readonly #decision: Decision;
  readonly #fail: (error: unknown) => void;
  readonly #resetHead: () => void;
  readonly #restoreMethods: () => void;
  readonly #sources = new Set<Readable>();
  /** What was sent meanwhile, in order. */
  readonly #calls: (() => unknown)[] = [];
  /** The arguments of `writeHead`. */
  #head: readonly unknown[] = [];
  /** `asked`: the wrappers of `writeHead` say what the head is. `held whole`: the answer has its end. `replaced`: by another one. */
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

  /** Runs the wrappers of `writeHead` that were added meanwhile, as Node.js does when it writes a head by itself. */
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

  /** Of a second answer, an error handler's for example, nothing: the first one counts, as it does for the transaction. */
  #keep(name: Output, args: readonly unknown[], output: Method): unknown {
    if (this.#state === 'held') {
      const isSecondHead = name === 'writeHead' && this.#calls.length > 0;
      if (isSecondHead && args[0] !== this.#head[0]) throw headersSent();
      // Middleware that asks `_header` whether there is a head finds none, and writes the same one before each part.
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
    // Its wrappers have run.
    const restore = remember(response, ['writeHead']);
    Reflect.set(response, 'writeHead', () => writeHead(...this.#head));
    try {
      const taken = this.#calls.map((call) => call());
      // A source that waits goes on, unless Node.js says `drain` by itself.
      if (!response.writableEnded && taken.at(-1) !== false) response.emit('drain');
    } catch {
      // Too late for another answer, and nobody is left on the stack: the rejection of a promise would end the process.
      response.destroy();
    } finally {
      restore();
    }
  }

  #replace(error: unknown): void {
    this.#state = 'replaced';
    // Middleware that has wrapped these since then, to compress for example, has seen the end of the answer already.
    this.#restoreMethods();
    // What is piped into this response must not go on in the one that takes its place.
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

/** After the COMMIT it would be too late to throw: the handler could not fail any more. */
function refuseHead(response: HoldableResponse, head: readonly unknown[]): void {
  const trial = trialOf(response);
  if (response instanceof ServerResponse) trial.statusMessage = response.statusMessage;
  (trial.writeHead as Method)(...head);
}

function refusePart(response: HoldableResponse, name: Output, [chunk]: readonly unknown[]): void {
  if (name !== 'write' && name !== 'end') return;
  if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) trialOf(response)[name](chunk);
}

/** A response that goes nowhere; that its request may be one of HTTP/2 makes no difference to it. */
function trialOf({ req }: HoldableResponse): ServerResponse {
  return new ServerResponse(req as ServerResponse['req']);
}

/** Returns what makes the status and the headers of a response the present ones again. */
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

/** Returns what makes the own properties of `response` with these names the present ones again. */
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
 * Keeps the head as it is, as Node.js does when it has been sent; returns what ends that. An answer that is held whole takes no
 * notice of another one; after the begin of one, headers are refused.
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
