import { readFile } from 'node:fs/promises';
import { createHistogram, monitorEventLoopDelay, type RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long calls took, and how many there were. */
export interface Throughput {
  readonly count: number;
  readonly perSecond: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/**
 * Calls `work` again and again, `workers` at a time, until the time is over and all have come back; or until
 * `patienceSeconds` later: what has not come back then took at least so long.
 *
 * Calls that begin in the first `warmUpSeconds` do not count; `onWarm` is called when those are over. It is one loop, because V8
 * has to compile anew what is called from another one.
 */
export async function hammer(
  {
    workers,
    seconds,
    warmUpSeconds = 0,
    patienceSeconds = Infinity,
  }: { workers: number; seconds: number; warmUpSeconds?: number; patienceSeconds?: number },
  work: (worker: number) => Promise<unknown>,
  onWarm: () => void = () => undefined,
): Promise<Throughput & { readonly inFlight: number }> {
  const latencies = new Latencies();
  const pending = new Map<number, number>();
  const cold = performance.now();
  const start = cold + warmUpSeconds * 1000;
  const end = start + seconds * 1000;
  let isWarm = warmUpSeconds === 0;
  const all = Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      for (let now = cold; now < end;) {
        // Not by a timer: a contender without threads of its own keeps the event loop busy to the end.
        if (!isWarm && now >= start) {
          isWarm = true;
          onWarm();
        }
        pending.set(worker, now);
        await work(worker);
        const then = now;
        now = performance.now();
        if (then >= start) latencies.add(now - then);
      }
      pending.delete(worker);
    }),
  );
  await atMost(all, warmUpSeconds + seconds + patienceSeconds);
  const now = performance.now();
  const count = latencies.count;
  for (const since of pending.values()) latencies.add(now - since);
  const elapsed = now - start;
  return { ...latencies.over(elapsed), count, perSecond: (count / elapsed) * 1000, inFlight: pending.size };
}

async function atMost(work: Promise<unknown>, seconds: number): Promise<void> {
  if (seconds === Infinity) {
    await work;
    return;
  }
  const over = new AbortController();
  await Promise.race([work, sleep(seconds * 1000, undefined, { signal: over.signal })]);
  over.abort();
}

/**
 * Calls `work` so many times a second, whatever becomes of the calls before: requests do not wait for each other.
 * Latencies count from when a call was due, so those count that had to wait for a blocked event loop.
 */
export async function arrive(
  { perSecond, seconds }: { perSecond: number; seconds: number },
  work: (arrival: number) => Promise<unknown>,
): Promise<Throughput> {
  const latencies = new Latencies();
  const calls: Promise<void>[] = [];
  const start = performance.now();
  for (let tick = 0; tick < seconds * 1000; tick++) {
    const due = start + tick;
    const early = due - performance.now();
    if (early > 0) await sleep(early);
    for (let i = Math.floor((tick * perSecond) / 1000); i < Math.floor(((tick + 1) * perSecond) / 1000); i++)
      calls.push(work(i).then(() => latencies.add(performance.now() - due)));
  }
  await Promise.all(calls);
  return latencies.over(performance.now() - start);
}

/** Latencies in a histogram with three significant digits. */
export class Latencies {
  readonly #histogram: RecordableHistogram = createHistogram();

  get count(): number {
    return this.#histogram.count;
  }

  add(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * 1e6)));
  }

  over(elapsedMs: number): Throughput {
    const { count, mean, max } = this.#histogram;
    const at = (percentile: number) => (count === 0 ? 0 : this.#histogram.percentile(percentile) / 1e6);
    return {
      count,
      perSecond: (count / elapsedMs) * 1000,
      meanMs: count === 0 ? 0 : mean / 1e6,
      p50Ms: at(50),
      p90Ms: at(90),
      p99Ms: at(99),
      maxMs: count === 0 ? 0 : max / 1e6,
    };
  }
}

const PROBE_EVERY_MS = 5;

/** How long an `fs.readFile` of one small file takes, every 5 ms until stopped: what the rest of a program feels. */
export function probeFile(path: string): { restart(): void; stop(): Throughput } {
  let latencies = new Latencies();
  const pending = new Set<number>();
  let started = performance.now();
  const timer = setInterval(() => {
    // Not moved by other reads, unlike a read that waits for the one before it.
    const start = performance.now();
    pending.add(start);
    void readFile(path).then(() => {
      if (pending.delete(start)) latencies.add(performance.now() - start);
    });
  }, PROBE_EVERY_MS);
  return {
    /** Forgets what was measured so far. */
    restart() {
      latencies = new Latencies();
      started = performance.now();
    },
    stop() {
      clearInterval(timer);
      const now = performance.now();
      // What has not come back took at least so long.
      for (const start of pending) latencies.add(now - start);
      pending.clear();
      return latencies.over(now - started);
    },
  };
}

/** The probe of a process that does nothing else. */
export async function probeIdle(path: string, seconds: number): Promise<Throughput> {
  // The first reads of a process are slower than all that follow.
  for (let i = 0; i < 100; i++) await readFile(path);
  const probe = probeFile(path);
  await sleep(seconds * 1000);
  return probe.stop();
}

/** How late timers were: what a blocked event loop costs everybody. */
export function probeEventLoop(): { stop(): { loopP50Ms: number; loopP99Ms: number; loopMaxMs: number } } {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  return {
    stop() {
      histogram.disable();
      const at = (percentile: number) => histogram.percentile(percentile) / 1e6;
      return { loopP50Ms: at(50), loopP99Ms: at(99), loopMaxMs: histogram.max / 1e6 };
    },
  };
}
