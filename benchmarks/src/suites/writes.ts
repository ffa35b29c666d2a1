import { createPool } from '@sqlite-pool/core';

import type { Benchmark } from '../benchmark.ts';
import { hammer } from '../measure.ts';
import { shown } from '../results.ts';

interface Task {
  readonly writers: number;
}

/** Writers on one file. */
export const benchmark: Benchmark<Task> = {
  name: 'writes',
  about: 'writers on one file, beside the same without the pool',
  plan: () => [1, 16].map((writers) => ({ labels: { writers }, variant: 'sqlite-pool', task: { writers } })),
  async measure({ writers }, { filename, seconds }) {
    await using pool = createPool({ filename });
    await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER) STRICT');
    return {
      ...(await hammer({ workers: writers, seconds }, () => pool.run('INSERT INTO t (n) VALUES (1)'))),
    };
  },
  report: (figures) => ({
    tables: [
      {
        title: 'Single INSERTs',
        head: ['writers', 'variant', 'per second', 'p99 ms'],
        rows: figures
          .entries()
          .map(({ labels, variant, metrics }) => [
            String(labels['writers']),
            variant,
            shown(metrics['perSecond']?.median ?? NaN),
            shown(metrics['p99Ms']?.median ?? NaN),
          ]),
      },
    ],
  }),
};
