import type { BindingSource } from './protocol.ts';

/**
 * Interrupts statements in other threads. Neither binding can do that. The extension of the optional package
 * `@sqlite-pool/interrupt` gives a number to each connection that loads it. Any other connection with the extension can
 * then interrupt it by that number.
 */
export interface Interrupter {
  /** The extension that a connection loads to become interruptible. */
  readonly extension: string;
  /** Interrupts the call on the connection with that number. Throws if it cannot. */
  interrupt(handle: bigint): void;
}

/** The SQL function of the extension. */
const INTERRUPT = 'SELECT sqlite_pool_interrupt(?)';

/** The exports of the package. */
interface InterruptPackage {
  /** The path of the extension; `undefined` if there is none for this platform. */
  extensionPath(): string | undefined;
}

// In a variable, so that a bundler does not require the package. The comment at the import keeps webpack from warning.
const PACKAGE = '@sqlite-pool/interrupt';

/** The interrupter for a binding, or `undefined` if there is none. */
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

/** Uses a connection of this thread, which is opened at the first interrupt. */
function withNodeSqlite(extension: string): (handle: bigint) => void {
  const { DatabaseSync } = quietly(() => process.getBuiltinModule('node:sqlite'));
  const database = new DatabaseSync(':memory:', { allowExtension: true });
  database.loadExtension(extension);
  // Deno has no such method.
  (database as { enableLoadExtension?(allow: boolean): void }).enableLoadExtension?.(false);
  const statement = database.prepare(INTERRUPT);
  return (handle) => {
    statement.get(handle);
  };
}

/** Node.js 22 prints a warning when node:sqlite is loaded. */
function quietly<T>(load: () => T): T {
  const emitWarning = process.emitWarning.bind(process);
  process.emitWarning = () => undefined;
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** The part of better-sqlite3 that this file uses. */
type BetterDatabase = new (path: string) => {
  loadExtension(path: string): void;
  prepare(sql: string): { get(value: bigint): unknown };
};

function withBetter(path: string, extension: string): (handle: bigint) => void {
  // Not imported: webpack reads calls of an imported createRequire, and warns if it does not know their argument.
  const { createRequire } = process.getBuiltinModule('node:module');
  const Database = createRequire(path)(path) as BetterDatabase;
  const database = new Database(':memory:');
  database.loadExtension(extension);
  const statement = database.prepare(INTERRUPT);
  return (handle) => {
    statement.get(handle);
  };
}

/** A call in another thread that would keep the process from ending. */
export interface Interruptible {
  /** Whether a call runs or waits. It reads the answers that have come first. */
  isRunning(): boolean;
  interrupt(): void;
}

/** The longest time that the end of the process waits for such calls, in milliseconds. */
const EXIT_MS = 200;

const open = new Set<Interruptible>();

/**
 * At its end, Node.js waits for running calls in its workers, even for an endless one. So this interrupts them at the
 * exit.
 */
export function interruptAtExit(connection: Interruptible): () => void {
  if (open.size === 0) process.on('exit', interruptAll);
  open.add(connection);
  return () => {
    open.delete(connection);
    if (open.size === 0) process.off('exit', interruptAll);
  };
}

/** Interrupts repeatedly, because SQLite forgets an interrupt that comes before the first step of a statement. */
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
