import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { closeWithServer, type ClosableServer } from '../../src/request/server-close.ts';
import { standingClock } from '../waiting/standing-clock.ts';

async function listen<T extends Server | Http2Server>(server: T): Promise<T> {
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return server;
}

function portOf(server: Server | Http2Server): number {
  return (server.address() as AddressInfo).port;
}

/** A client that keeps its connection. */
function makeClient(server: Server): (path?: string) => Promise<IncomingMessage> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => {
    agent.destroy();
  });
  return async (path = '/') => {
    const sent = request({ agent, port: portOf(server), host: '127.0.0.1', path }).end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    answer.resume();
    await once(answer, 'end');
    return answer;
  };
}

/** Answers `/hold` when `release` is called, everything else at once. */
function makeHandler(): { handler: RequestListener; release: () => void; held: () => number } {
  const held: (() => void)[] = [];
  return {
    handler: (incoming, response) => {
      if (incoming.url === '/hold') held.push(() => void response.end());
      else response.end();
    },
    release: () => {
      for (const answer of held.splice(0)) answer();
    },
    held: () => held.length,
  };
}

describe('a pool that closes with its server', () => {
  it('F48 closes after the last answer, although clients keep their connections', async () => {
    const { handler, release, held } = makeHandler();
    const server = await listen(createServer(handler));
    const close = vi.fn(() => Promise.resolve());
    const shutdown = closeWithServer(server, close);
    const [idle, busy] = [makeClient(server), makeClient(server)];
    await idle();
    const answer = busy('/hold');
    await vi.waitFor(() => expect(held()).toBe(1));
    const done = shutdown();
    expect(shutdown()).toBe(done);
    await expect(idle()).rejects.toThrow();
    expect(close).not.toHaveBeenCalled();
    release();
    expect((await answer).statusCode).toBe(200);
    await done;
    expect(close).toHaveBeenCalledOnce();
    expect(server.listening).toBe(false);
  });

  it('tells a client that sends another request on a connection that it was the last', async () => {
    const { handler, release, held } = makeHandler();
    const server = await listen(createServer(handler));
    const shutdown = closeWithServer(server, () => Promise.resolve());
    const socket = (await import('node:net')).connect(portOf(server), '127.0.0.1');
    let received = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (received += chunk));
    const line = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    socket.write(line('/hold'));
    await vi.waitFor(() => expect(held()).toBe(1));
    const done = shutdown();
    // It comes while the first one is under way, so the connection is not idle.
    socket.write(line('/hold'));
    await vi.waitFor(() => expect(held()).toBe(2));
    release();
    await once(socket, 'close');
    await done;
    const [, first, second] = received.split('HTTP/1.1 200');
    expect(first?.toLowerCase()).toContain('connection: keep-alive');
    expect(second?.toLowerCase()).toContain('connection: close');
  });

  it('ends what still runs after timeoutMs', async () => {
    const { handler, held } = makeHandler();
    const server = await listen(createServer(handler));
    const close = vi.fn(() => Promise.resolve());
    const shutdown = closeWithServer(server, close, { timeoutMs: 50 });
    const cancelled = expect(makeClient(server)('/hold')).rejects.toMatchObject({ code: 'ECONNRESET' });
    await vi.waitFor(() => expect(held()).toBe(1));
    await shutdown();
    await cancelled;
    expect(close).toHaveBeenCalledOnce();
  });

  it('leaves no timer and no listener on the process behind', async () => {
    const clock = standingClock();
    const server = await listen(createServer());
    const before = process.listenerCount('SIGHUP');
    const shutdown = closeWithServer(server, () => Promise.resolve(), { signals: ['SIGHUP'] });
    expect(process.listenerCount('SIGHUP')).toBe(before + 1);
    const closed = shutdown();
    expect(clock.pending).toBeGreaterThan(0);
    await closed;
    expect(clock.pending).toBe(0);
    expect(process.listenerCount('SIGHUP')).toBe(before);
  });

  it('begins with a signal, and leaves the second one to the process', async () => {
    const server = await listen(createServer());
    const close = vi.fn(() => Promise.resolve());
    closeWithServer(server, close, { signals: ['SIGHUP', 'SIGUSR2'], timeoutMs: Infinity });
    process.emit('SIGUSR2', 'SIGUSR2');
    expect([process.listenerCount('SIGHUP'), process.listenerCount('SIGUSR2')]).toEqual([0, 0]);
    await vi.waitFor(() => expect(close).toHaveBeenCalledOnce());
  });

  it('closes when somebody else has closed the server', async () => {
    const server = await listen(createServer());
    const close = vi.fn(() => Promise.resolve());
    const shutdown = closeWithServer(server, close);
    server.close();
    await vi.waitFor(() => expect(close).toHaveBeenCalledOnce());
    await shutdown();
    expect(close).toHaveBeenCalledOnce();
  });

  it('closes although the server never listened', async () => {
    const close = vi.fn(() => Promise.resolve());
    await closeWithServer(createServer(), close)();
    expect(close).toHaveBeenCalledOnce();
  });

  it('lets the streams of HTTP/2 sessions end, and sessions with nothing to do', async () => {
    const answers: (() => void)[] = [];
    const server = await listen(createHttp2Server());
    server.on('stream', (stream) => answers.push(() => void stream.end('done')));
    const shutdown = closeWithServer(server, () => Promise.resolve());
    const url = `http://127.0.0.1:${String(portOf(server))}`;
    const [idle, busy, gone] = [connect(url), connect(url), connect(url)];
    await Promise.all([idle, busy, gone].map((session) => once(session, 'connect')));
    gone.destroy();
    const stream = busy.request({ ':path': '/' });
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    const done = shutdown();
    await once(idle, 'close');
    answers[0]?.();
    let body = '';
    for await (const chunk of stream) body += String(chunk);
    expect(body).toBe('done');
    await done;
  });

  it('ends HTTP/2 sessions that still run after timeoutMs', async () => {
    const server = await listen(createHttp2Server());
    const shutdown = closeWithServer(server, () => Promise.resolve(), { timeoutMs: 50 });
    const session = connect(`http://127.0.0.1:${String(portOf(server))}`);
    session.on('error', () => undefined);
    const stream = session.request({ ':path': '/' });
    stream.on('error', () => undefined);
    await once(server, 'stream');
    await shutdown();
    expect(session.destroyed || session.closed).toBe(true);
  });

  it.each([
    ['no server', null, {}],
    ['no server of Node.js', { fetch: () => undefined }, {}],
    ['no options', createServer(), null],
    ['an unknown option', createServer(), { timeout: 1 }],
    ['a time that is no number', createServer(), { timeoutMs: '1' }],
    ['a negative time', createServer(), { timeoutMs: -1 }],
    ['a signal that is no array', createServer(), { signals: 'SIGTERM' }],
    ['signals that are no names', createServer(), { signals: [15] }],
  ])('refuses %s', (_what, server, options) => {
    // Mistakes that TypeScript would catch.
    expect(() =>
      closeWithServer(server as ClosableServer, () => Promise.resolve(), options as object),
    ).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error);
  });
});

describe('connections that closeAllConnections() does not know', () => {
  it.each(['upgrade', 'connect'])(
    'are ended when the time of a shutdown is over: after %s',
    async (event) => {
      const server = await listen(createServer());
      const taken = once(server, event) as Promise<[IncomingMessage, Socket]>;
      const shutdown = closeWithServer(server, () => Promise.resolve(), { timeoutMs: 20 });
      const client = connectTcp(portOf(server), '127.0.0.1').on('error', () => undefined);
      const head = 'Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
      client.write(
        event === 'upgrade' ? `GET / HTTP/1.1\r\n${head}` : 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
      );
      const [, socket] = await taken;
      socket.on('error', () => undefined);
      onTestFinished(() => void client.destroy());
      await shutdown();
      expect(socket.destroyed).toBe(true);
    },
  );

  it('are ended when the time of a shutdown is over: before a TLS handshake', async () => {
    const server = await listen(createTlsServer());
    const shutdown = closeWithServer(server, () => Promise.resolve(), { timeoutMs: 20 });
    const connected = once(server, 'connection');
    const client = connectTcp(portOf(server), '127.0.0.1').on('error', () => undefined);
    onTestFinished(() => void client.destroy());
    await connected;
    await shutdown();
  });
});
