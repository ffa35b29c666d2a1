/** A thread of the contestant "a connection each": opens, asks, closes. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

import { PRAGMAS, statements, type StatementName } from './statements.ts';
import type { ThreadAnswer } from './ways.ts';

parentPort?.on('message', ({ name, value }: { name: StatementName; value: number }) => {
  try {
    using database = new DatabaseSync(workerData as string);
    database.exec(PRAGMAS);
    const statement = database.prepare(statements[name]);
    if (name === 'write') statement.run(value);
    else statement.get(value);
  } catch (error) {
    const { message, errcode } = error as { message: string; errcode?: number };
    parentPort?.postMessage({ error: { message, errcode } } satisfies ThreadAnswer);
    return;
  }
  parentPort?.postMessage({});
});
