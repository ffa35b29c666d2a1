import { workerData } from 'node:worker_threads';
import type { WorkerData } from '../protocol.ts';
import { work } from './work.ts';

/* v8 ignore next -- in a worker, where nothing is counted */
void work(workerData as WorkerData);
