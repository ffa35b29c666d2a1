import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A network between a client and a server: it can be frozen, so that nothing passes and nothing is refused. */
export class Network {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isFrozen = false;
  /** How often something was sent to the server, and answered, since the beginning. */
  trips = 0;

  private constructor(port: number, delayMs: number) {
    this.#server = createServer((client) => {
      const server = connect(port, '127.0.0.1');
      // What is sent before an answer comes is one trip.
      let isAsked = false;
      client.on('data', () => (isAsked = true));
      server.on('data', () => {
        if (isAsked) this.trips += 1;
        isAsked = false;
      });
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(from);
        from.on('data', (data) => {
          if (delayMs === 0) to.write(data);
          else setTimeout(() => to.write(data), delayMs);
        });
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        if (this.#isFrozen) from.pause();
      }
    });
  }

  /**
   * A network to the server at a port; the end of the test removes it.
   *
   * @param delayMs - How long everything is on the way. What is sent together then arrives together.
   */
  static async to(port: number, delayMs: number = 0): Promise<Network> {
    const network = new Network(port, delayMs);
    network.#server.listen(0, '127.0.0.1');
    await once(network.#server, 'listening');
    onTestFinished(() => {
      network.#server.close();
      network.disconnect();
    });
    return network;
  }

  get url(): string {
    return this.urlOf('ws');
  }

  urlOf(wire: 'ws' | 'http'): string {
    return `${wire}://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  /** Nothing passes any more, in either direction. */
  freeze(): void {
    this.#isFrozen = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** What was held up arrives. */
  thaw(): void {
    this.#isFrozen = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Ends every connection. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
