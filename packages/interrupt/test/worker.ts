import { parentPort, workerData } from 'node:worker_threads';
import { isInterrupt, keyOf, open, type Driver } from './database.ts';

/** What the worker of a {@link RemoteDatabase} is made with. */
export interface Setup {
  readonly driver: Driver;
  readonly path: string;
  readonly filename: string;
}

/** What it says: its key first, then that an endless statement has begun, and how each statement ended, and when. */
export type Message =
  | { readonly type: 'open'; readonly key: number }
  | { readonly type: 'started' }
  | { readonly type: 'ended'; readonly outcome: Outcome; readonly at: bigint };

export type Outcome =
  { readonly rows: unknown[] } | { readonly error: string; readonly interrupted: boolean };

const { driver, path, filename } = workerData as Setup;
const database = open(driver, path, filename);
database.function('started', { varargs: false }, () => {
  say({ type: 'started' });
  return 1;
});
say({ type: 'open', key: keyOf(database) });

parentPort?.on('message', (sql: string | undefined) => {
  if (sql === undefined) {
    database.close();
    parentPort?.close();
  } else {
    const outcome = run(sql);
    say({ type: 'ended', outcome, at: process.hrtime.bigint() });
  }
});

function run(sql: string): Outcome {
  try {
    if (/^(SELECT|WITH)/.test(sql)) return { rows: database.prepare(sql).all() };
    database.exec(sql);
    return { rows: [] };
  } catch (error) {
    return { error: String(error), interrupted: isInterrupt(error) };
  }
}

function say(message: Message): void {
  parentPort?.postMessage(message);
}
