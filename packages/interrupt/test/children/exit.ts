import { Worker } from 'node:worker_threads';
import { interruptOf, open, type Driver } from '../database.ts';
import { ENDLESS } from '../endless.ts';
import type { Message, Setup } from '../worker.ts';

/** Exits while an endless statement runs: exit.ts <driver> <path of the extension> [--no-interrupt] */
const [driver, path, noInterrupt] = process.argv.slice(2) as [Driver, string, string?];

const interrupt = interruptOf(open(driver, path));
const workerData: Setup = { driver, path, filename: ':memory:' };
const worker = new Worker(new URL('../worker.ts', import.meta.url), { workerData });

worker.on('message', (message: Message) => {
  if (message.type === 'open') {
    if (noInterrupt === undefined) process.on('exit', () => interrupt(message.key));
    worker.postMessage(ENDLESS);
  } else if (message.type === 'started') {
    process.stdout.write('exiting\n', () => process.exit(5));
  }
});
