import { createPool } from '@sqlite-pool/core';

import type { Benchmark, Job, Table } from '../benchmark.ts';
import { PRAGMAS } from '../by-hand.ts';
import type { Entry } from '../figures.ts';
import { hammer } from '../measure.ts';
import { shownFigure } from '../results.ts';

interface Task {
  readonly load: Load;
  readonly poolSize: number;
  readonly threads: number;
}
type Load = 'point' | 'scan';

const LOADS: Readonly<Record<Load, string>> = {
  point: 'point SELECT',
  scan: 'SELECT over 5,000 rows',
};

const WORKERS = 100;
const SCANNED = 5000;
/** What is left to gain above this is less than the machine's own noise. */
const GOOD_ENOUGH = 0.9;

export const benchmark: Benchmark<Task> = {
  name: 'threads',
  about: 'the throughput of reads by poolSize and threads',
  plan: ({ complete }) =>
    complete ? plan(['point', 'scan'], [1, 2, 4], [1, 2, 4, 10, 32]) : plan(['point'], [1, 4], [1, 4, 10]),
  async measure({ load, poolSize, threads }, { filename, seconds, scale }) {
    await using pool = createPool({ filename, pragmas: PRAGMAS, poolSize, threads });
    const users = Number((await pool.get('SELECT max(id) AS n FROM users'))?.['n']);
    const rows = Math.min(SCANNED, users);
    const readOne = async (id: number) => {
      const row = await pool.get('SELECT id, name FROM users WHERE id = ?', [id]);
      if (row?.['id'] !== id) throw new Error(`User ${id} was read wrongly.`);
    };
    const readMany = async (id: number) => {
      const from = Math.min(id, users - rows + 1);
      const sql = "SELECT count(*) AS n, sum(name LIKE '%a%') FROM users WHERE id >= ? AND id < ?";
      const row = await pool.get(sql, [from, from + rows]);
      if (row?.['n'] !== rows) throw new Error(`Users from ${from} were counted wrongly.`);
    };
    const read = load === 'point' ? readOne : readMany;
    let round = 0;
    const once = () => read(1 + ((++round * 7919) % users));
    await hammer({ workers: WORKERS, seconds: scale.warmUpSeconds }, once);
    const { perSecond, p50Ms, p99Ms } = await hammer({ workers: WORKERS, seconds: seconds / 2 }, once);
    return { perSecond, p50Ms, p99Ms };
  },
  report(figures) {
    const entries = figures.entries();
    const loads = Object.values(LOADS).filter((load) => entries.some(({ variant }) => variant === load));
    return {
      tables: loads.map((load) =>
        table(
          load,
          entries.filter(({ variant }) => variant === load),
        ),
      ),
      charts: [chart(entries)],
    };
  },
};

const threadsOf = (count: number): string => (count === 1 ? '1 thread' : `${count} threads`);

function plan(loads: readonly Load[], threads: readonly number[], poolSizes: readonly number[]): Job<Task>[] {
  return loads.flatMap((load) =>
    threads.flatMap((count) =>
      poolSizes.map((poolSize) => ({
        labels: { threads: count, poolSize },
        variant: LOADS[load],
        task: { load, poolSize, threads: count },
        data: 'seeded' as const,
      })),
    ),
  );
}

function table(load: string, entries: readonly Entry[]): Table {
  const threads = [...new Set(entries.map(({ labels }) => Number(labels['threads'])))];
  const poolSizes = [...new Set(entries.map(({ labels }) => Number(labels['poolSize'])))];
  const at = (count: number, poolSize: number) =>
    entries.find(({ labels }) => labels['threads'] === count && labels['poolSize'] === poolSize)?.metrics[
      'perSecond'
    ];
  const enough = threads.map((count) => {
    const medians = poolSizes.map((poolSize) => at(count, poolSize)?.median ?? NaN);
    const best = Math.max(...medians);
    const size = poolSizes[medians.findIndex((median) => median >= GOOD_ENOUGH * best)];
    return `${size} with ${threadsOf(count)}`;
  });
  return {
    title: `${load}, ${WORKERS} at once: per second`,
    head: ['poolSize', ...threads.map(threadsOf)],
    rows: poolSizes.map((poolSize) => [
      String(poolSize),
      ...threads.map((count) => shownFigure(at(count, poolSize))),
    ]),
    note: `The smallest pool with ${GOOD_ENOUGH * 100} % of the best throughput: ${enough.join(', ')}.`,
  };
}

function chart(entries: readonly Entry[]) {
  const values = entries.map(({ labels, variant, metrics }) => ({
    ...labels,
    threads: threadsOf(Number(labels['threads'])),
    load: variant,
    perSecond: metrics['perSecond']?.median ?? NaN,
  }));
  return {
    name: 'threads',
    title: 'Reads per second, by poolSize and threads',
    spec: {
      data: { values },
      facet: { row: { field: 'load', type: 'nominal' as const, title: null, sort: null } },
      spec: {
        width: 560,
        height: 220,
        mark: { type: 'line' as const, point: true },
        encoding: {
          x: {
            field: 'poolSize',
            type: 'ordinal' as const,
            title: 'poolSize',
            axis: { labelAngle: 0 },
          },
          y: { field: 'perSecond', type: 'quantitative' as const, title: 'per second' },
          color: { field: 'threads', type: 'nominal' as const, sort: null },
        },
      },
      resolve: { scale: { y: 'independent' as const } },
    },
  };
}
