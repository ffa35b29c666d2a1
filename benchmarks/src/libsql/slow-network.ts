import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A network to a server, in which everything arrives later. */
export class SlowNetwork implements AsyncDisposable {
  readonly url: string;
  readonly #end: () => Promise<void>;

  private constructor(port: number, end: () => Promise<void>) {
    this.url = `ws://127.0.0.1:${port}`;
    this.#end = end;
  }

  /** @param roundTripMs - What the way there and back takes longer, in milliseconds. */
  static async to(serverPort: number, roundTripMs: number): Promise<SlowNetwork> {
    const sockets = new Set<Socket>();
    const server = createServer((client) => {
      const upstream = connect(serverPort, '127.0.0.1');
      delay(client, upstream, roundTripMs / 2);
      delay(upstream, client, roundTripMs / 2);
      for (const socket of [client, upstream]) {
        socket.setNoDelay(true);
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SlowNetwork((server.address() as AddressInfo).port, async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}

/** Timers of the same length end in the order in which they were started, so the bytes stay in order. */
function delay(from: Socket, to: Socket, ms: number): void {
  from.on('data', (data) => setTimeout(() => to.write(data), ms));
  from.on('error', () => to.destroy());
  from.on('close', () => setTimeout(() => to.destroy(), ms));
}
