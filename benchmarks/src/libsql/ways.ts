import { once } from 'node:events';

import { createClient } from '@libsql/client/ws';
import { createPool, type Driver } from '@sqlite-pool/core';
import { libsql } from '@sqlite-pool/core/libsql';
import { WebSocket } from 'ws';

/** As many callers, and as many connections where a connection serves one. */
export const CALLERS = 8;
export const USERS = 1000;

const READ = 'SELECT id, name FROM users WHERE id = ?';
const WRITE = 'UPDATE users SET n = n + 1 WHERE id = ?';

export const SCHEMA =
  'CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, n INTEGER NOT NULL DEFAULT 0); ' +
  'INSERT INTO users (id, name) WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 1000) ' +
  "SELECT x, 'user ' || x FROM c";

/** One way to reach the server. */
export interface Way extends AsyncDisposable {
  /** The id that was read. */
  read(caller: number, id: number): Promise<unknown>;
  /** Whether it was done: not if the database was locked. */
  write(caller: number, id: number): Promise<boolean>;
}

export const ways = {
  'the bare wire': openWire,
  'sqlite-pool': async (url: string) => openPool(libsql({ url })),
  '@libsql/client': async (url: string) => openClient(url),
} satisfies Record<string, (url: string) => Promise<Way>>;

export type WayName = keyof typeof ways;

/** Requests written by hand on a socket for each caller: what there is to reach. */
async function openWire(url: string): Promise<Way> {
  const wires = await Promise.all(Array.from({ length: CALLERS }, () => Wire.open(url)));
  const execute = async (caller: number, sql: string, id: number) =>
    wires[caller % CALLERS]?.execute(sql, id);
  return {
    read: async (caller, id) => Number((await execute(caller, READ, id))?.rows[0]?.[0]?.value),
    write: (caller, id) => done(execute(caller, WRITE, id)),
    [Symbol.asyncDispose]: async () => wires.forEach((wire) => wire.close()),
  };
}

async function done(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes('database is locked')) return false;
    throw error;
  }
}

interface WireResult {
  readonly rows: readonly (readonly { readonly value: string }[])[];
}

interface WireMessage {
  readonly request_id?: number;
  readonly response?: { readonly result: WireResult };
  readonly error?: { readonly message: string };
}

class Wire {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<WireResult>>();
  #ids = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      const { request_id: id = 0, response, error } = JSON.parse(data.toString()) as WireMessage;
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (response) waiting?.resolve(response.result);
      else waiting?.reject(new Error(error?.message));
    });
  }

  static async open(url: string): Promise<Wire> {
    const socket = new WebSocket(url, ['hrana3'], { perMessageDeflate: false });
    await once(socket, 'open');
    const wire = new Wire(socket);
    socket.send(JSON.stringify({ type: 'hello', jwt: null }));
    await wire.#request({ type: 'open_stream', stream_id: 1 });
    return wire;
  }

  execute(sql: string, id: number): Promise<WireResult> {
    const stmt = { sql, args: [{ type: 'integer', value: String(id) }], want_rows: true };
    return this.#request({ type: 'execute', stream_id: 1, stmt });
  }

  close(): void {
    this.#socket.terminate();
  }

  #request(request: object): Promise<WireResult> {
    const waiting = Promise.withResolvers<WireResult>();
    this.#waiting.set(++this.#ids, waiting);
    this.#socket.send(JSON.stringify({ type: 'request', request_id: this.#ids, request }));
    return waiting.promise;
  }
}

function openPool(driver: Driver): Way {
  const pool = createPool({ driver, poolSize: CALLERS });
  return {
    read: async (_, id) => (await pool.get(READ, [id]))?.['id'],
    write: (_, id) => done(pool.run(WRITE, [id])),
    [Symbol.asyncDispose]: () => pool.close(),
  };
}

/** Its own socket, which all callers share. */
function openClient(url: string): Way {
  const client = createClient({ url });
  return {
    read: async (_, id) => (await client.execute({ sql: READ, args: [id] })).rows[0]?.['id'],
    write: (_, id) => done(client.execute({ sql: WRITE, args: [id] })),
    [Symbol.asyncDispose]: async () => client.close(),
  };
}
