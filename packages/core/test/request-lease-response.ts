import { EventEmitter } from 'node:events';
import type { ResponseEvents } from '../src/request-lease.ts';

/** A response as Node.js makes it, moved by hand. */
export class FakeResponse extends EventEmitter implements ResponseEvents {
  closed = false;
  headersSent = false;
  writableEnded = false;
  writeHead = (..._args: never[]): unknown => {
    this.headersSent = true;
    return this;
  };

  /** The whole answer is given. */
  end(): void {
    if (!this.headersSent) this.writeHead();
    this.writableEnded = true;
  }

  close(): void {
    this.closed = true;
    this.emit('close');
  }
}
