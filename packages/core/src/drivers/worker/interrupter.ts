import type { BindingSource } from './protocol.ts';

/**
 * Interrupts statements in other threads. Neither binding can; the extension of the optional package `@sqlite-pool/interrupt` gives
 * each connection that loads it a number, and any other one the function that interrupts it by that.
 */
export interface Interrupter {
  /** The extension that connections load, to be interrupted. */
  readonly extension: string;
  /** Interrupts what runs on the connection with that number. Throws if it cannot. */
  interrupt(handle: bigint): void;
}

/** As the extension has it. */
const INTERRUPT = 'SELECT sqlite_pool_interrupt(?)';

/** What the package exports. */
interface InterruptPackage {
  /** `undefined` where there is none for this platform. */
  extensionPath(): string | undefined;
}

// In a variable, so that nobody who builds this needs it; with the comment, so that webpack does not warn of it.
const PACKAGE = '@sqlite-pool/interrupt';

/** The interrupter for a binding, or `undefined` where there is none. */
export async function findInterrupter(
  binding: BindingSource,
  load: () => Promise<unknown> = () => import(/* webpackIgnore: true */ PACKAGE),
): Promise<Interrupter | undefined> {
  try {
    const extension = ((await load()) as InterruptPackage).extensionPath();
    if (extension === undefined) return undefined;
    let run: ((handle: bigint) => void) | undefined;
    return {
      extension,
      interrupt: (handle) => {
        run ??=
          binding.name === 'node:sqlite' ? withNodeSqlite(extension) : withBetter(binding.path, extension);
        run(handle);
      },
    };
  } catch {
    return undefined;
  }
}

/** On a connection of this thread, which is opened at the first interrupt. */
function withNodeSqlite(extension: string): (handle: bigint) => void {
  const { DatabaseSync } = quietly(() => process.getBuiltinModule('node:sqlite'));
  const database = new DatabaseSync(':memory:', { allowExtension: true });
  database.loadExtension(extension);
  database.enableLoadExtension(false);
  const statement = database.prepare(INTERRUPT);
  return (handle) => {
    statement.get(handle);
  };
}

/** Node.js 22 warns of node:sqlite when it is loaded. */
function quietly<T>(load: () => T): T {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** What is used of better-sqlite3. */
type BetterDatabase = new (path: string) => {
  loadExtension(path: string): void;
  prepare(sql: string): { get(value: bigint): unknown };
};

function withBetter(path: string, extension: string): (handle: bigint) => void {
  // Not imported: webpack reads calls of an imported createRequire, and warns of those whose argument it does not know.
  const { createRequire } = process.getBuiltinModule('node:module');
  const Database = createRequire(path)(path) as BetterDatabase;
  const database = new Database(':memory:');
  database.loadExtension(extension);
  const statement = database.prepare(INTERRUPT);
  return (handle) => {
    statement.get(handle);
  };
}

/** What runs in another thread, and would keep the process from ending. */
export interface Interruptible {
  /** Whether a call runs or waits; looks for its answer. */
  isRunning(): boolean;
  interrupt(): void;
}

/** Longest that the end of the process waits for that, in milliseconds. */
const EXIT_MS = 200;

const open = new Set<Interruptible>();

/** Node.js waits at its end for what runs in its workers, for ever if that is endless: so it is interrupted then. */
export function interruptAtExit(connection: Interruptible): () => void {
  if (open.size === 0) process.on('exit', interruptAll);
  open.add(connection);
  return () => {
    open.delete(connection);
    if (open.size === 0) process.off('exit', interruptAll);
  };
}

/** Again and again: SQLite forgets an interrupt that comes before the first step of a statement. */
function interruptAll(): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const until = performance.now() + EXIT_MS;
  for (;;) {
    const running = [...open].filter((connection) => connection.isRunning());
    if (running.length === 0 || performance.now() >= until) return;
    try {
      for (const connection of running) connection.interrupt();
    } catch {
      return;
    }
    Atomics.wait(pause, 0, 0, 1);
  }
}
