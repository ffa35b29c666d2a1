import type { RequestOrigin } from '../diagnostics/events.ts';
import type { Observer } from '../diagnostics/observer.ts';
import { CancelSource } from '../waiting/deadline.ts';
import { LeaseEndedError } from '../errors.ts';
import type { Waits } from '../leasing/connection-pool.ts';
import { RequestReport } from './request-report.ts';

/**
 * The part of a Node.js response (HTTP/1 or HTTP/2) that the pool uses. `close` is the only event that always comes.
 *
 * @example const response: ResponseEvents = serverResponse; // the one of a node:http request listener
 */
export interface ResponseEvents {
  readonly closed?: boolean | undefined;
  readonly destroyed?: boolean | undefined;
  /** The stream of an HTTP/2 response. Such a response has no `closed` of its own. */
  readonly stream?: { readonly closed: boolean } | undefined;
  readonly headersSent: boolean;
  readonly statusCode?: number | undefined;
  /** Whether no event tells that the response was sent. For the pool it then ends with its head. */
  readonly endsSilently?: boolean | undefined;
  readonly writableEnded: boolean;
  /** The error with which the application destroyed the response. A client that left is no such error. */
  readonly errored?: unknown;
  once(event: 'close', listener: () => void): unknown;
  /** Node.js calls it for every response: by itself before the first byte, if the application does not call it. */
  writeHead: (...args: never[]) => unknown;
}

/**
 * Calls `begins` before the first byte of a response is written, and `closes` when it has closed, whatever closed it.
 * If one of these has already happened, calls the function at once.
 */
function follow(response: ResponseEvents, begins: () => void, closes: () => void): void {
  // A listener that is added after the event is never called.
  if (response.closed === true || response.destroyed === true || response.stream?.closed === true) {
    closes();
    return;
  }
  response.once('close', closes);
  if (response.headersSent) begins();
  else onHead(response, begins);
}

/** Node.js has no event for the head. */
function onHead(response: ResponseEvents, begins: () => void): void {
  const { writeHead } = response;
  response.writeHead = function (this: ResponseEvents, ...args: never[]): unknown {
    begins();
    return Reflect.apply(writeHead, this, args);
  };
}

/**
 * How far a request is.
 *
 * - `handling`: the first statement acquires a connection (in mode `request`), and the next ones use the same.
 * - `abandoned`: the client has left in the middle of a change that it asked for. The handler may finish within
 *   `disconnectGraceMs`. The request releases its connection as soon as nothing runs on it and no transaction is open, because a
 *   response may never come.
 * - `responded`: the response has begun. The request releases its connection as soon as nothing runs on it, before the
 *   bytes are sent. A streaming body, or work after the response, acquires a lease per statement.
 * - `revoked`: the client has left. The pool interrupts running calls, and later calls reject with `LeaseEndedError`.
 */
type RequestState = 'handling' | 'abandoned' | 'responded' | 'revoked';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** What a lifetime has to know about a request. */
export interface RequestFacts {
  /** How long a handler whose client has left may keep its connection, in milliseconds. */
  readonly disconnectGraceMs: number;
  /** The HTTP method. A GET whose client has left has no reason to go on. */
  readonly method: string;
  /** The response to follow, if there is one. */
  readonly response?: ResponseEvents | undefined;
  /** What to say of the request where somebody asks for it: its id, its route, its logger. Called only if something listens. */
  readonly request?: (() => RequestOrigin) | undefined;
}

/** The connections of the request, as far as its lifetime ends their use. */
export interface RequestUse {
  /** Whether a call that began before the response still runs, or the request keeps a connection. */
  isBusy(): boolean;
  /** Called when the state has changed: releases what the request need not keep any more. */
  settle(): void;
  /** Ends the leases of the request. */
  revoke(reason: LeaseEndedError): void;
}

/** From the arrival of a request to the end of its response, or to the moment at which its client has left. */
export class RequestLifetime {
  readonly #facts: RequestFacts;
  readonly #observer: Observer;
  readonly #use: RequestUse;
  #state: RequestState = 'handling';
  /** Begins at the first use, because most requests of a server may never use the pool. */
  #follows = false;
  /** Aborts when the request is revoked, for calls on the pool. Made at the first such call. */
  #controller: AbortController | undefined;
  /** The same for the wait for a connection of the request. */
  readonly cancelSource: CancelSource = new CancelSource();
  #revokedBecause: LeaseEndedError | undefined;
  #cancelGrace: (() => void) | undefined;
  #beforeResponse: (() => void) | undefined;
  /** Made when there is something to report. */
  #report: RequestReport | undefined;

  constructor(facts: RequestFacts, observer: Observer, use: RequestUse) {
    this.#facts = facts;
    this.#observer = observer;
    this.#use = use;
  }

  get state(): RequestState {
    return this.#state;
  }

  /** Why the request was revoked, if it was. */
  get revokedBecause(): LeaseEndedError | undefined {
    return this.#revokedBecause;
  }

  /** What an operator should read of the request. */
  get report(): RequestReport {
    return (this.#report ??= new RequestReport());
  }

  /** What to say of the request. */
  origin(): RequestOrigin | undefined {
    return this.#facts.request?.();
  }

  get signal(): AbortSignal {
    return (this.#controller ??= new AbortController()).signal;
  }

  /**
   * Adds the signal of the request to a call on the pool. A call on a lease needs no signal: the lease is revoked with
   * the request.
   */
  revocable<Limits extends Waits>(options: Limits): Limits {
    const { signal } = options;
    return {
      ...options,
      signal: signal === undefined ? this.signal : AbortSignal.any([signal, this.signal]),
    };
  }

  /** Follows the response from now on. */
  follow(): void {
    if (this.#follows) return;
    this.#follows = true;
    const { response } = this.#facts;
    if (response === undefined) return;
    follow(
      response,
      () => {
        this.respond();
      },
      () => {
        this.#closed(response);
      },
    );
  }

  /** Calls `listener` when the response begins, and follows the response from now on. */
  beforeResponse(listener: () => void): void {
    this.#beforeResponse = listener;
    this.follow();
  }

  /** The response begins, or the handler is done. */
  respond(): void {
    this.#beforeResponse?.();
    if (this.#state !== 'revoked') this.#state = 'responded';
    this.#use.settle();
    const { response } = this.#facts;
    if (response?.endsSilently === true) this.#writeReport(response);
  }

  /** Interrupts running calls and refuses later ones, both with `reason`. */
  revoke(reason: LeaseEndedError = new LeaseEndedError(CLIENT_LEFT)): void {
    if (this.#state === 'revoked') return;
    this.#state = 'revoked';
    this.#cancelGrace?.();
    this.#revokedBecause = reason;
    this.#controller?.abort(reason);
    this.cancelSource.cancel(reason);
    this.#use.revoke(reason);
  }

  /** The request uses nothing: the end of the grace time would have nothing to revoke. */
  rest(): void {
    if (this.#state === 'responded') this.#cancelGrace?.();
  }

  #closed(response: ResponseEvents): void {
    this.#end(response);
    this.#writeReport(response);
  }

  #writeReport({ statusCode = 0 }: ResponseEvents): void {
    this.#report?.write(this.#observer, statusCode, () => this.origin());
    this.#report = undefined;
  }

  #end(response: ResponseEvents): void {
    if (this.#state === 'revoked') return;
    // Ended, not finished: if the handler has sent all bytes, it does not matter whether they arrived.
    if (response.writableEnded) {
      this.respond();
      // These calls began before the answer and still run: the handler hangs, and a timeout has sent the answer.
      if (this.#use.isBusy()) this.#revokeAfterGrace();
    } else if (this.#state === 'responded' || SAFE_METHODS.has(this.#facts.method)) this.revoke();
    else {
      this.#state = 'abandoned';
      // The application itself has ended its answer, because a stream failed for example. Its transaction is rolled
      // back.
      if (response.errored instanceof Error) this.#beforeResponse?.();
      this.#use.settle();
      this.#revokeAfterGrace();
    }
  }

  /** If nothing is left to revoke before that, {@link RequestLifetime.rest} cancels it. */
  #revokeAfterGrace(): void {
    const revoke = (): void => {
      this.revoke();
    };
    this.#cancelGrace = this.#observer.clock.schedule(revoke, this.#facts.disconnectGraceMs, true);
  }
}

const CLIENT_LEFT =
  'The client has left, so the connection of this request was taken back. Use the pool for work that outlives a request.';
