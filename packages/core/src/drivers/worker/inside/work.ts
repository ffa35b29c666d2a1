import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { WAKE_WORD, type ControlMessage, type OpenMessage, type WorkerData } from '../protocol.ts';
import { HANDLE_OF_CONNECTION } from '../protocol.ts';
import { loadBinding, type Binding, type BoundDatabase } from './bindings.ts';
import { Database } from './database.ts';
import { describeError } from './errors.ts';
import { Host } from './host.ts';

/** The default export of an application's setup module. It prepares each new connection. */
type Setup = (database: object) => unknown;

/**
 * The main loop of a worker. It sleeps until the main thread wakes it, and ends at the `end` message. It blocks instead
 * of listening, because its event loop would take a third more processor time for each call.
 */
/* v8 ignore start -- runs in a worker, where coverage is not measured */
export async function work({ port, state, binding, setup }: WorkerData): Promise<void> {
  const host = new Host(({ message, moved }) => {
    port.postMessage(message, moved);
  });
  let opener: Opener | undefined;
  for (;;) {
    const seen = Atomics.load(state, WAKE_WORD);
    const message = receive(port);
    if (message === undefined) {
      host.flush();
      Atomics.wait(state, WAKE_WORD, seen);
    } else if (typeof message === 'string' || message instanceof ArrayBuffer) host.handle(message);
    else if (message.kind === 'end') break;
    else if (message.kind === 'join') host.join(message.connection, message.handle, message.slot);
    else if (message.kind === 'leave') host.leave(message.connection);
    else {
      const { connection } = message;
      try {
        opener ??= new Opener(loadBinding(binding), setup);
        const { database, handle } = await opener.open(message);
        host.add(connection, database, message);
        port.postMessage({ kind: 'opened', connection, handle });
      } catch (error) {
        port.postMessage({ kind: 'opened', connection, error: describeError(error) });
      }
    }
  }
  host.end();
  port.close();
}

function receive(port: MessagePort): string | ArrayBuffer | ControlMessage | undefined {
  return receiveMessageOnPort(port)?.message as string | ArrayBuffer | ControlMessage | undefined;
}
/* v8 ignore stop */

/** A new connection. */
export interface Opened {
  readonly database: Database;
  readonly handle: bigint | undefined;
}

/** Opens connections in the worker. */
export class Opener {
  readonly #binding: Binding;
  readonly #setup: string | undefined;
  #loaded: Promise<{ default: unknown }> | undefined;

  constructor(binding: Binding, setup: string | undefined) {
    this.#binding = binding;
    this.#setup = setup;
  }

  async open(message: OpenMessage): Promise<Opened> {
    const { path, mode, pragmas, extensions, statementCacheSize, interruptible } = message;
    const bound = this.#binding.open(path, mode);
    try {
      for (const pragma of pragmas.split(';')) if (pragma.trim() !== '') bound.exec(pragma);
      // SQLite reads a file only at the first access. This finds out whether it is a database.
      bound.exec('SELECT count(*) FROM sqlite_schema');
      if (extensions.length > 0) bound.loadExtensions(extensions);
      await inTime(this.#setUp(bound));
      const database = new Database(bound, { statementCacheSize, keepsWidth: KEEPS_WIDTH });
      return { database, handle: handleOf(bound, interruptible) };
    } catch (error) {
      bound.close();
      throw error;
    }
  }

  async #setUp(bound: BoundDatabase): Promise<void> {
    if (this.#setup === undefined) return;
    this.#loaded ??= import(this.#setup) as Promise<{ default: unknown }>;
    const { default: setup } = await this.#loaded;
    if (typeof setup !== 'function')
      throw new TypeError('The setup module has no default export that is a function.');
    await (setup as Setup)(bound.raw);
    // The statements of others would run in it, and be rolled back with it. A closed database fails here, too.
    if (bound.inTransaction) throw new Error('The setup module has left a transaction open.');
    bound.prepare('SELECT 1');
  }
}

/** How long the setup module may take for one database, in milliseconds. */
const SETUP_MS = 5000;

/** While a setup runs, the thread does nothing else. One that never settles must not keep it for ever. */
async function inTime(setup: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`The setup module has not settled after ${String(SETUP_MS / 1000)} seconds.`));
    }, SETUP_MS);
  });
  try {
    await Promise.race([setup, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The key for interrupts; `undefined` if the extension cannot be loaded, under `--permission` for example. */
function handleOf(bound: BoundDatabase, extension: string | undefined): bigint | undefined {
  if (extension === undefined) return undefined;
  try {
    bound.loadExtensions([extension]);
    const [row] = bound.prepare(HANDLE_OF_CONNECTION).all([], true);
    return row?.[0] as bigint;
  } catch {
    return undefined;
  }
}

/** Node.js 22 reads the number of columns before the first step, and SQLite may prepare the statement anew in that step. */
const KEEPS_WIDTH = process.versions.node.startsWith('22.');
