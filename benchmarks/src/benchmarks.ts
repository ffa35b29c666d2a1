import type { Benchmark } from './benchmark.ts';

/** In the order in which `pnpm bench` runs them. */
const benchmarks = {
  writes: () => import('./suites/writes.ts'),
  drivers: () => import('./suites/drivers.ts'),
  load: () => import('./suites/load.ts'),
  overhead: () => import('./suites/overhead.ts'),
  alternatives: () => import('./suites/alternatives.ts'),
  pool: () => import('./suites/pool.ts'),
  http: () => import('./suites/http.ts'),
  mixed: () => import('./suites/mixed.ts'),
  sight: () => import('./suites/sight.ts'),
  threads: () => import('./suites/threads.ts'),
  cache: () => import('./suites/cache.ts'),
  libsql: () => import('./suites/libsql.ts'),
} satisfies Record<string, () => Promise<{ benchmark: unknown }>>;

export const names: readonly string[] = Object.keys(benchmarks);

/** Loaded one by one, so that a run has in memory only what it measures. */
export async function load(name: string): Promise<Benchmark<unknown>> {
  const found = Object.entries(benchmarks).find(([known]) => known === name);
  if (!found) throw new Error(`There is no benchmark ${name}. There are: ${names.join(', ')}.`);
  // A task goes through JSON and comes back to the benchmark that made it.
  return (await found[1]()).benchmark;
}
