/** One run, in a process of its own: nobody's heap, threads, caches or open files are another one's. */
import { once } from 'node:events';

import { load } from './benchmarks.ts';
import { Unavailable } from './contender.ts';
import type { Answer, Order } from './run.ts';

// Until the parent has said what to do; it also ends this process.
const [order] = (await once(process, 'message')) as [Order];
process.send?.(await answer(order));

async function answer({ benchmark, task, place }: Order): Promise<Answer> {
  try {
    const loaded = await load(benchmark);
    return { sample: await loaded.measure(task, place) };
  } catch (error) {
    if (error instanceof Unavailable) return { unavailable: error.message };
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
