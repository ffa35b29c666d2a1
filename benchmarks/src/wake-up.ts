import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { Worker } from 'node:worker_threads';

/**
 * Keeps a core awake with a process of the lowest priority. A virtual machine whose cores go idle pays for waking them, many times what
 * a read costs, so that figures with and without say different things, and both are true.
 */
export async function keepAwake(): Promise<Disposable> {
  const child = spawn(process.execPath, ['--eval', 'for (;;);'], { stdio: 'ignore' });
  await once(child, 'spawn');
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  return {
    [Symbol.dispose]: () => {
      process.off('exit', kill);
      kill();
    },
  };
}

const ROUNDS = 2000;

/** Each waits for the other in a futex, as a thread of a driver does. */
const PONG = `
  const { workerData } = require('node:worker_threads');
  for (let n = 0; n < ${ROUNDS}; n += 1) {
    Atomics.wait(workerData, 0, n);
    Atomics.store(workerData, 1, n + 1);
    Atomics.notify(workerData, 1);
  }`;

/** Half of a ping-pong between two threads, in microseconds: what it costs at the moment to wake one. */
export async function wakeUpUs(): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(PONG, { eval: true, workerData: words });
  await once(worker, 'online');
  const times: number[] = [];
  for (let n = 0; n < ROUNDS; n += 1) {
    const since = performance.now();
    Atomics.store(words, 0, n + 1);
    Atomics.notify(words, 0);
    Atomics.wait(words, 1, n);
    times.push(performance.now() - since);
  }
  await worker.terminate();
  times.sort((a, b) => a - b);
  return ((times[ROUNDS / 2] ?? NaN) * 1000) / 2;
}
