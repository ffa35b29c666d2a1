/** A thread of the contestant "a connection each": opens, asks, closes. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

import { PRAGMAS, statements, type StatementName } from './statements.ts';

parentPort?.on('message', ({ name, value }: { name: StatementName; value: number }) => {
  try {
    using database = new DatabaseSync(workerData as string);
    database.exec(PRAGMAS);
    const statement = database.prepare(statements[name]);
    if (name === 'write') statement.run(value);
    else statement.get(value);
  } catch (error) {
    // The properties of an Error that are not standard are lost on the way to another thread.
    const { message, errcode } = error as { message: string; errcode?: number };
    parentPort?.postMessage({ error: { message, errcode } });
    return;
  }
  parentPort?.postMessage({});
});
