/**
 * What is used of a Node.js response (HTTP/1 or HTTP/2). Its `close` is the only event that comes whatever happens.
 *
 * @example const response: ResponseEvents = serverResponse; // the one of a node:http request listener
 */
export interface ResponseEvents {
  readonly closed?: boolean | undefined;
  readonly destroyed?: boolean | undefined;
  /** The stream of an HTTP/2 response, which has no `closed` of its own. */
  readonly stream?: { readonly closed: boolean } | undefined;
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  /** Why the application has destroyed it, if it has; a client that left is no reason. */
  readonly errored?: unknown;
  once(event: 'close', listener: () => void): unknown;
  /** Node.js calls it for every response, by itself before the first byte if the application does not. */
  writeHead: (...args: never[]) => unknown;
}

/**
 * Calls `begins` before the first byte of a response is written, and `closes` when it has closed, whoever closed it; at
 * once what has happened already.
 */
export function follow(response: ResponseEvents, begins: () => void, closes: () => void): void {
  // A listener that is added after the event never hears of it.
  if (response.closed === true || response.destroyed === true || response.stream?.closed === true) {
    closes();
    return;
  }
  response.once('close', closes);
  if (response.headersSent) begins();
  else onHead(response, begins);
}

/** Node.js has no event for it. */
function onHead(response: ResponseEvents, begins: () => void): void {
  const { writeHead } = response;
  response.writeHead = function (this: ResponseEvents, ...args: never[]): unknown {
    begins();
    return Reflect.apply(writeHead, this, args);
  };
}
