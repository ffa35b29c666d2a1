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
export function follow(response: ResponseEvents, begins: () => void, closes: () => void): void {
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
