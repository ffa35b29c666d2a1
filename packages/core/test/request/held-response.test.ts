import { deferred } from '../../src/testing/plugin/bench.ts';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2ServerResponse } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { commitBefore } from '../../src/request/held-response.ts';
import { fetchOnce, Http2Client, type Answer } from '../../src/testing/plugin/clients.ts';

/** What a handler has to work with: it resolves `decision` to let its answer go, or rejects it. */
interface Held<Response = ServerResponse> {
  readonly response: Response;
  readonly decision: PromiseWithResolvers<void>;
  readonly statuses: readonly number[];
}

async function listen(server: Server, end: () => unknown): Promise<number> {
  onTestFinished(() => {
    end();
    server.close();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Answers one request with `handler`, whose response is held; a failure is answered with `fail`. */
async function held(
  handler: (given: Held) => unknown,
  fail: (response: ServerResponse, error: unknown) => void = (response) => response.writeHead(500).end('no'),
): Promise<Answer> {
  const server = createServer((_request, response) => {
    const decision = deferred();
    const statuses: number[] = [];
    response.setHeader('x-before', 'kept');
    const settle = (status: number): Promise<void> => {
      statuses.push(status);
      return decision.promise;
    };
    commitBefore(response, { isPending: true, settle }, (error) => {
      fail(response, error);
    });
    void handler({ response, decision, statuses });
  });
  return await fetchOnce(
    await listen(server, () => {
      server.closeAllConnections();
    }),
    'GET',
    '/',
  );
}

function unreached(): never {
  throw new Error('It was called, although it must not be.');
}

const failed = Promise.reject(new Error('not committed'));
failed.catch(() => undefined);

/** What a call throws, by its code. */
function codeOf(call: () => unknown): unknown {
  try {
    call();
    return 'none';
  } catch (error) {
    return (error as { readonly code?: unknown }).code;
  }
}

describe('a response that is held', () => {
  it('sends nothing until it is decided, and then everything in its order', async () => {
    const seen: unknown[] = [];
    const answer = await held(async ({ response, decision, statuses }) => {
      response.statusCode = 201;
      response.flushHeaders();
      seen.push(response.write('a'), response.write(new TextEncoder().encode('b')));
      expect([statuses, response.headersSent, response.writableEnded]).toEqual([[201], true, false]);
      decision.resolve();
      await once(response, 'drain');
      response.end('c');
    });
    expect([answer.status, answer.body, seen]).toEqual([201, 'abc', [false, false]]);
  });

  it('does not wait if there is nothing to wait for', async () => {
    const server = createServer((_request, response) => {
      commitBefore(response, { isPending: false, settle: () => Promise.resolve() }, unreached);
      response.end('at once');
      expect(response.writableEnded).toBe(true);
    });
    const port = await listen(server, () => {
      server.closeAllConnections();
    });
    expect(await fetchOnce(port, 'GET', '/')).toMatchObject({ status: 200, body: 'at once' });
  });

  it('is as it was before when another answer takes its place', async () => {
    const source = new Readable({ read: () => undefined });
    const answer = await held(
      ({ response, decision }) => {
        response.setHeader('x-handler', 'forgotten');
        response.statusCode = 202;
        response.statusMessage = 'Forgotten';
        Reflect.set(response, 'end', (chunk: string) => response.write(`wrapped ${chunk}`));
        source.pipe(response);
        source.push('a');
        decision.resolve(failed);
      },
      (response, error) => {
        expect(error).toMatchObject({ message: 'not committed' });
        expect([response.statusCode, response.headersSent, response.writableEnded]).toEqual([
          200,
          false,
          false,
        ]);
        source.push('b');
        response.end('instead');
      },
    );
    expect(answer).toMatchObject({ status: 200, body: 'instead' });
    expect(answer.headers).toMatchObject({ 'x-before': 'kept' });
    expect(answer.headers).not.toHaveProperty('x-handler');
    await expect.poll(() => source.destroyed).toBe(true);
  });

  it.each<[string, (response: ServerResponse) => unknown, string]>([
    ['a number', (response) => response.end(42), 'ERR_INVALID_ARG_TYPE'],
    ['null', (response) => response.write(null), 'ERR_STREAM_NULL_VALUES'],
    ['a header', (response) => response.writeHead(200, { 'x-name': '\u0119' }), 'ERR_INVALID_CHAR'],
    ['a message', (response) => response.writeHead(200, 'a\nb'), 'ERR_INVALID_CHAR'],
    [
      'a status',
      (response) => {
        response.statusCode = 1000;
        response.flushHeaders();
      },
      'ERR_HTTP_INVALID_STATUS_CODE',
    ],
  ])('F70 refuses what Node.js refuses before it is decided: %s', async (_what, send, code) => {
    const { status } = await held(({ response, decision, statuses }) => {
      expect([codeOf(() => send(response)), statuses]).toEqual([code, []]);
      response.writeHead(409).end();
      expect(statuses).toEqual([409]);
      decision.resolve();
    });
    expect(status).toBe(409);
  });

  it('refuses a later part that Node.js would refuse, where it is sent', async () => {
    const { body } = await held(({ response, decision }) => {
      response.write('a');
      expect(codeOf(() => response.write(42))).toBe('ERR_INVALID_ARG_TYPE');
      response.end('b');
      decision.resolve();
    });
    expect(body).toBe('ab');
  });

  it('has one head: the same one again is ignored, and another one is refused, as its headers are', async () => {
    const { status, body, headers } = await held(({ response, decision }) => {
      response.writeHead(201).write('a');
      expect(response.writeHead(201)).toBe(response);
      expect(codeOf(() => response.writeHead(500))).toBe('ERR_HTTP_HEADERS_SENT');
      expect(codeOf(() => response.setHeader('x-late', 'yes'))).toBe('ERR_HTTP_HEADERS_SENT');
      response.end('b');
      decision.resolve();
    });
    expect([status, body, headers['x-late']]).toEqual([201, 'ab', undefined]);
  });

  it.each(['end', 'write', 'flushHeaders', 'writeHead'] as const)(
    'F70 is decided by what middleware makes of its head, when %s begins it',
    async (name) => {
      let asked = 0;
      const { status, body, headers } = await held(({ response, decision, statuses }) => {
        // As on-headers does for compression, cookie-session and others.
        const writeHead: (status: number) => unknown = response.writeHead.bind(response);
        Reflect.set(response, 'writeHead', () => {
          asked += 1;
          response.setHeader('x-late', 'yes');
          return writeHead((response.statusCode = 503));
        });
        if (name === 'writeHead') response.writeHead(200);
        else if (name === 'flushHeaders') response.flushHeaders();
        else response[name]('a');
        if (name !== 'end') response.end();
        expect(statuses).toEqual([503]);
        decision.resolve();
      });
      expect([status, headers['x-late'], asked]).toEqual([503, 'yes', 1]);
      expect(body).toBe(name === 'end' || name === 'write' ? 'a' : '');
      // Node.js knows the length of a body that comes at once.
      expect(headers['content-length']).toBe(name === 'end' ? '1' : undefined);
    },
  );

  it('F70 is not begun by middleware that throws when it is to be', async () => {
    const { status, body } = await held(({ response, decision, statuses }) => {
      const restore = response.writeHead;
      Reflect.set(response, 'writeHead', () => {
        response.writeHead = restore;
        throw new Error('refused');
      });
      expect(() => response.end('done')).toThrow('refused');
      response.statusCode = 500;
      response.end('no');
      expect(statuses).toEqual([500]);
      decision.resolve();
    });
    expect([status, body]).toEqual([500, 'no']);
  });

  it('takes no notice of a second answer after a whole one', async () => {
    const { status, body, headers } = await held(({ response, decision }) => {
      response.end('first');
      expect([response.headersSent, response.writableEnded]).toEqual([false, true]);
      response.statusCode = 500;
      response.statusMessage = 'Second';
      response.setHeader('x-second', 'yes').end('second');
      decision.resolve();
    });
    expect([status, body, headers['x-second']]).toEqual([200, 'first', undefined]);
  });

  it('is broken off when Node.js refuses a part of it after all', async () => {
    const answer = held(({ response, decision }) => {
      response.strictContentLength = true;
      response.writeHead(200, { 'content-length': 1 }).end('too much');
      decision.resolve();
    }, unreached);
    await expect(answer).rejects.toThrow();
  });

  it('is broken off, and ends no process, when nobody can answer instead', async () => {
    const answer = held(
      ({ response, decision }) => {
        response.end('done');
        decision.resolve(failed);
      },
      () => {
        throw new Error('a mistake');
      },
    );
    await expect(answer).rejects.toThrow();
  });

  it('may be one of HTTP/2', async () => {
    const decisions: Promise<void>[] = [Promise.resolve(), failed];
    const warnings: unknown[] = [];
    process.on('warning', (warning) => warnings.push(warning));
    const server = createHttp2Server((_request, response: Http2ServerResponse) => {
      const decision = decisions.shift()!;
      commitBefore(response, { isPending: true, settle: () => decision }, () =>
        response.writeHead(500).end('no'),
      );
      response.setHeader('x-handler', 'yes');
      response.writeHead(201).write('a');
      response.end('b');
    });
    const client = new Http2Client(
      await listen(server, () => {
        client.leave();
      }),
    );
    expect(await client.fetch('GET', '/')).toEqual({ status: 201, body: 'ab' });
    expect(await client.fetch('GET', '/')).toEqual({ status: 500, body: 'no' });
    expect(warnings).toEqual([]);
  });
});
