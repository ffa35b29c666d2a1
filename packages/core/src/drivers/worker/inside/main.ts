import { workerData } from 'node:worker_threads';
import type { WorkerData } from '../protocol.ts';
import { work } from './work.ts';

/* v8 ignore next -- runs in a worker, where coverage is not measured */
void work(workerData as WorkerData);
