import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect as connectHttp2, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';

/** An HTTP answer that was read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends one request on a client connection of its own, and reads the body to its end. */
export async function fetchOnce(port: number, method: string, path: string, body?: string): Promise<Answer> {
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers =
      body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request({ port, host: '127.0.0.1', method, path, headers, agent: false }, resolve);
    sent.on('error', reject);
    sent.end(body);
  });
  return { status: Number(incoming.statusCode), headers: incoming.headers, body: await text(incoming) };
}

/** A listener for events that may happen and do not matter for the plugin. */
export function nothing(): void {
  return undefined;
}

/** A client that sends only the given bytes, and reads only when the case asks for it. */
export class RawClient {
  readonly #socket: Socket;
  #received = '';

  constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    // A server may end a connection in any way.
    this.#socket.on('error', nothing);
  }

  /** Sends requests without waiting for answers. */
  send(...requests: readonly string[]): this {
    return this.write(requests.map((line) => `${line} HTTP/1.1\r\n${headOf(line)}\r\n`).join(''));
  }

  write(bytes: string | Uint8Array): this {
    this.#socket.write(bytes);
    return this;
  }

  /** Reads all bytes from now on. */
  read(): this {
    this.#socket.on('data', (bytes: Buffer) => (this.#received += bytes.toString('latin1')));
    return this;
  }

  /** Resolves when the first bytes of an answer have arrived, without reading them. */
  async begun(): Promise<void> {
    await new Promise((begun) => this.#socket.once('readable', begun));
  }

  get received(): string {
    return this.#received;
  }

  /** The status lines of the answers that were read. */
  get statuses(): readonly string[] {
    return this.#received.match(/HTTP\/1\.1 \d+/g) ?? [];
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  leave(): void {
    this.#socket.destroy();
  }
}

function headOf(line: string): string {
  const length = line.startsWith('POST') ? 'Content-Length: 0\r\n' : '';
  return `Host: 127.0.0.1\r\n${length}`;
}

/** A client session of HTTP/2. */
export class Http2Client {
  readonly #session: ClientHttp2Session;

  constructor(port: number) {
    this.#session = connectHttp2(`http://127.0.0.1:${String(port)}`);
    this.#session.on('error', nothing);
  }

  /** Sends the head of a request. For a POST, the body follows later. */
  open(method: string, path: string): ClientHttp2Stream {
    const stream = this.#session.request({ ':method': method, ':path': path });
    stream.on('error', nothing);
    return stream;
  }

  async fetch(method: string, path: string): Promise<Pick<Answer, 'status' | 'body'>> {
    const stream = this.open(method, path);
    stream.end();
    const status = await new Promise<number>((resolve) => {
      stream.once('response', (headers) => {
        resolve(Number(headers[':status']));
      });
    });
    return { status, body: await text(stream) };
  }

  leave(): void {
    this.#session.destroy();
  }
}

/** The head of a request for a WebSocket. The key is the example of RFC 6455. */
export function webSocketHead(path: string): string {
  return [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    '\r\n',
  ].join('\r\n');
}

/**
 * A short text as a frame of a client. A client must mask its frames; this mask changes nothing (RFC 6455, section
 * 5.2).
 */
export function webSocketFrame(message: string): Uint8Array {
  return Buffer.concat([Buffer.from([0x81, 0x80 | message.length, 0, 0, 0, 0]), Buffer.from(message)]);
}
