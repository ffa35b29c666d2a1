import type { IncomingMessage } from 'node:http';
import { DriverMissingError } from '../../errors.ts';
import { installCommand } from '../install-command.ts';

/** What this driver uses of a socket of the `ws` package, so that its types are not needed. */
export interface WebSocketLike {
  send(text: string): void;
  ping(): void;
  terminate(): void;
  on(event: 'open' | 'pong', listener: () => void): unknown;
  on(event: 'upgrade', listener: (response: IncomingMessage) => void): unknown;
  on(event: 'message', listener: (data: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'close', listener: (code: number) => void): unknown;
}

/** What this driver uses of the `ws` package. */
export interface WebSocketModule {
  readonly WebSocket: new (url: string, protocols: string[], options: object) => WebSocketLike;
}

/** Loads the package. Rejects with `DriverMissingError` where it is not installed. */
export async function loadWebSocket(): Promise<WebSocketModule> {
  return await import('ws').catch(refuse);
}

/* v8 ignore next -- tested in a process without the package, which is not counted */
function refuse(error: unknown): never {
  throw new DriverMissingError(`The ws package is not installed. Run: ${installCommand('ws')}`, error);
}
