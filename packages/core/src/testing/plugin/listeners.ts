import type { EventEmitter } from 'node:events';
import type { RequestDb } from '../../request/request-db.ts';
import type { PluginContext } from './contract.ts';

type Listener = ReturnType<EventEmitter['rawListeners']>[number];

interface Added {
  readonly emitter: EventEmitter;
  readonly event: string | symbol;
  readonly listener: Listener;
}

/** Records the listeners that a plugin adds to a request, its response and its socket when its `db` is used. */
export class ListenerWatch {
  readonly #added: Added[] = [];

  /** Returns the same context with a watched `db`. */
  watch<Context extends PluginContext>(context: Context): Context {
    const emitters = emittersOf(context);
    const db = new Proxy(context.db, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const before = listenersOf(emitters);
          try {
            return Reflect.apply(value, target, args);
          } finally {
            this.#notice(before, listenersOf(emitters));
          }
        };
      },
    }) satisfies RequestDb;
    return { ...context, db };
  }

  /** The number of recorded listeners that are still there. */
  get left(): number {
    const isThere = ({ emitter, event, listener }: Added): boolean =>
      emitter.rawListeners(event).includes(listener);
    return this.#added.filter(isThere).length;
  }

  #notice(before: readonly Added[], after: readonly Added[]): void {
    const known = new Set(before.map(({ listener }) => listener));
    this.#added.push(...after.filter(({ listener }) => !known.has(listener)));
  }
}

function emittersOf({ request, response }: Partial<PluginContext>): EventEmitter[] {
  // Without a socket there may be none.
  if (request === undefined || response === undefined) return [];
  // The socket of HTTP/2 belongs to all requests, and a plugin must not touch it.
  return [request, response, 'stream' in request ? request.stream : request.socket];
}

function listenersOf(emitters: readonly EventEmitter[]): Added[] {
  return emitters.flatMap((emitter) =>
    emitter
      .eventNames()
      .flatMap((event) => emitter.rawListeners(event).map((listener) => ({ emitter, event, listener }))),
  );
}

/** The number of listeners of a socket. A listener that each request leaves behind would show up here. */
export function countListeners(context: PluginContext): number {
  return listenersOf([context.request.socket]).length;
}
