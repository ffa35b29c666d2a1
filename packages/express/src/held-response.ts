import { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Response } from 'express';

/** Whatever a response sends goes through one of these: `res.json`, `res.sendFile`, `pipe` and all others call them. */
const OUTPUT = ['writeHead', 'write', 'end', 'flushHeaders'] as const;
const HEADERS = ['setHeader', 'setHeaders', 'appendHeader', 'removeHeader'] as const;

/**
 * Keeps what a response sends until `decide` has settled, so that a failure can still become another answer. `decide` is
 * called with the status when the response begins, and is `undefined` if there is nothing to wait for. After a failure the
 * response is as it was before, and `fail` is called: nothing has been sent.
 */
export function holdResponse(
  res: Response,
  decide: (status: number) => Promise<void> | undefined,
  fail: (error: unknown) => void,
): void {
  const before = headOf(res);
  const restoreMethods = remember(res, [...OUTPUT, 'on']);
  const sources = new Set<Readable>();
  res.on('pipe', (source: Readable) => sources.add(source));
  const calls: (() => unknown)[] = [];
  let state: 'untouched' | 'held' | 'held whole' | 'free' | 'replaced' = 'untouched';

  const hold = (decision: Promise<void>): void => {
    state = 'held';
    const thaw = freeze(res, () => state === 'held whole');
    decision.then(
      () => {
        thaw();
        state = 'free';
        try {
          const taken = calls.map((call) => call());
          // Who was told to wait goes on, unless Node.js says `drain` by itself.
          if (!res.writableEnded && taken.at(-1) !== false) res.emit('drain');
        } catch (error) {
          // Nobody is left on the stack who could catch it, and the rejection of a promise would end the process.
          if (!res.headersSent) resetHead(res, before);
          fail(error);
        }
      },
      (error: unknown) => {
        thaw();
        state = 'replaced';
        // Middleware that has wrapped these since then, to compress for example, has seen the end of the answer already.
        restoreMethods();
        // What is piped into this response must not go on in the one that takes its place.
        for (const source of sources) {
          source.unpipe(res);
          res.once('close', () => source.destroy());
        }
        resetHead(res, before);
        fail(error);
      },
    );
  };

  for (const name of OUTPUT) {
    const output = res[name].bind(res) as (...args: unknown[]) => unknown;
    const held = (...args: unknown[]): unknown => {
      if (state === 'untouched') {
        refuseWhatNodeRefuses(res, name, args);
        state = 'free';
        const decision = decide(name === 'writeHead' ? (args[0] as number) : res.statusCode);
        if (decision !== undefined) hold(decision);
      }
      if (state === 'free') return output(...args);
      // A second answer, of an error handler for example: the first one counts, as it does for the transaction.
      // And its first head: middleware that asks `_header` whether there is one already finds none.
      const isSecondHead = name === 'writeHead' && calls.length > 0;
      if (state === 'held' && !isSecondHead) calls.push(() => output(...args));
      if (name === 'end') state = 'held whole';
      return name === 'write' ? false : res;
    };
    Reflect.set(res, name, held);
  }
}

/** After the COMMIT it would be too late to throw: the handler could not fail any more. */
function refuseWhatNodeRefuses(res: Response, name: (typeof OUTPUT)[number], args: unknown[]): void {
  const trial = new ServerResponse(res.req);
  Object.assign(trial, { statusCode: res.statusCode, statusMessage: res.statusMessage });
  const [chunk] = args;
  const isHead = name === 'flushHeaders' || typeof chunk === 'string' || chunk instanceof Uint8Array;
  const call = trial as unknown as Record<typeof name, (...given: unknown[]) => unknown>;
  if (name === 'writeHead') call.writeHead(...args);
  else if (isHead) trial.flushHeaders();
  else call[name](chunk);
}

interface Head {
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly headers: ReturnType<Response['getHeaders']>;
}

function headOf(res: Response): Head {
  return { statusCode: res.statusCode, statusMessage: res.statusMessage, headers: res.getHeaders() };
}

function resetHead(res: Response, { statusCode, statusMessage, headers }: Head): void {
  for (const name of res.getHeaderNames()) res.removeHeader(name);
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value);
  Object.assign(res, { statusCode, statusMessage });
}

/** The function returned makes the properties of `res` with these names what they are now. */
function remember(res: Response, names: readonly string[]): () => void {
  const own = names.map((name) => [name, Object.getOwnPropertyDescriptor(res, name)] as const);
  return () => {
    for (const [name, descriptor] of own) {
      if (descriptor === undefined) Reflect.deleteProperty(res, name);
      else Object.defineProperty(res, name, descriptor);
    }
  };
}

/**
 * Keeps the head as it is, as Node.js does when it has been sent; the function returned ends that. An answer that is held
 * whole takes no notice of another one; after the begin of one, headers are refused.
 */
function freeze(res: Response, isWhole: () => boolean): () => void {
  const { statusCode, statusMessage } = res;
  const own = new Map<string, PropertyDescriptor | undefined>();
  const define = (name: string, descriptor: PropertyDescriptor): void => {
    own.set(name, Object.getOwnPropertyDescriptor(res, name));
    Object.defineProperty(res, name, { ...descriptor, configurable: true });
  };
  const refuse = (): Response => {
    if (isWhole()) return res;
    throw Object.assign(new Error('Cannot change headers after they were sent.'), {
      code: 'ERR_HTTP_HEADERS_SENT',
    });
  };
  define('headersSent', { get: () => !isWhole() });
  for (const name of HEADERS) define(name, { value: refuse, writable: true });
  return () => {
    for (const [name, descriptor] of own) {
      if (descriptor === undefined) Reflect.deleteProperty(res, name);
      else Object.defineProperty(res, name, descriptor);
    }
    Object.assign(res, { statusCode, statusMessage });
  };
}
