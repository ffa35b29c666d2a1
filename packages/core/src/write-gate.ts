import { DriverConflictError } from './errors.ts';
import { Gate } from './gate.ts';

/**
 * One writer per database file in this process, first come first served, across every pool on that file.
 *
 * SQLite lets one connection write at a time, and makes the others sleep in the native thread that runs their call.
 * As many sleepers as libuv has threads (4) leave none for the COMMIT that would wake them: the process stands still
 * until the busy timeouts expire. A queue in JavaScript takes no thread.
 */
interface SharedGate {
  readonly gate: Gate;
  readonly driverName: string;
  users: number;
}

// On globalThis, so that the ESM and the CommonJS copy of this package share it when a process loads both.
const KEY = Symbol.for('@sqlite-pool/core/write-gates');
const shelf = globalThis as { [KEY]?: Map<string, SharedGate> | undefined };
const registry = (shelf[KEY] ??= new Map<string, SharedGate>());

/** Joins the gate of a database; call {@link leaveWriteGate} when the pool lets go of it. */
export function joinWriteGate(databaseId: string, driverName: string): Gate {
  const shared = registry.get(databaseId);
  if (shared === undefined) {
    const gate = new Gate();
    registry.set(databaseId, { gate, driverName, users: 1 });
    return gate;
  }
  if (shared.driverName !== driverName) throw new DriverConflictError(shared.driverName, driverName);
  shared.users += 1;
  return shared.gate;
}

/** Gives up one use of a gate. */
export function leaveWriteGate(databaseId: string): void {
  const shared = registry.get(databaseId);
  if (shared === undefined) return;
  shared.users -= 1;
  if (shared.users === 0) registry.delete(databaseId);
}
