import { stat } from 'node:fs/promises';

import { createPool } from '@sqlite-pool/core';

import type { Benchmark, Place, Table } from '../benchmark.ts';
import { PRAGMAS } from '../by-hand.ts';
import type { Entry, Sample } from '../figures.ts';
import { hammer } from '../measure.ts';
import { shown, shownFigure } from '../results.ts';

interface Task {
  readonly reads: Reads;
  readonly cacheMiB: number;
  readonly mmap: boolean;
}
type Reads = 'hot' | 'anywhere';

const READS: Readonly<Record<Reads, string>> = {
  hot: '90 % of the reads in 1 % of the posts',
  anywhere: 'every post as often',
};

const WORKERS = 32;
const MIB = 2 ** 20;
/** More than the largest file, so that all of it is mapped. */
const WHOLE_FILE = 2 ** 31 - 65_536;

const POST = `
  SELECT comments.id, comments.post_id AS postId, users.name AS author, comments.body
  FROM comments JOIN users ON users.id = comments.user_id
  WHERE comments.post_id = ? ORDER BY comments.id DESC LIMIT 20`;

export const benchmark: Benchmark<Task> = {
  name: 'cache',
  about: 'what cache_size and mmap_size buy where the file is larger than the page cache',
  plan: ({ complete }) => {
    const reads: Reads[] = complete ? ['hot', 'anywhere'] : ['hot'];
    const sizes = complete ? [2, 4, 16, 64, 256] : [2, 16, 64];
    return reads.flatMap((each) => [
      ...sizes.map((cacheMiB) => job({ reads: each, cacheMiB, mmap: false })),
      job({ reads: each, cacheMiB: 16, mmap: true }),
    ]);
  },
  measure,
  report(figures) {
    const entries = figures.entries();
    return {
      tables: Object.values(READS)
        .map((reads) =>
          table(
            reads,
            entries.filter(({ labels }) => labels['reads'] === reads),
          ),
        )
        .filter(({ rows }) => rows.length > 0),
      charts: [chart(entries)],
    };
  },
};

function job(task: Task) {
  const { reads, cacheMiB, mmap } = task;
  const variant = `cache_size ${cacheMiB} MiB${mmap ? ', the whole file mapped' : ''}`;
  return { labels: { reads: READS[reads] }, variant, task, data: 'seeded' as const };
}

async function measure(
  { reads, cacheMiB, mmap }: Task,
  { filename, seconds, scale }: Place,
): Promise<Sample> {
  const pragmas = { ...PRAGMAS, cache_size: -cacheMiB * 1024, mmap_size: mmap ? WHOLE_FILE : 0 };
  await using pool = createPool({ filename, pragmas });
  const posts = Number((await pool.get('SELECT max(id) AS n FROM posts'))?.['n']);
  const hot = Math.max(1, Math.floor(posts / 100));
  let round = 0;
  const next = () => {
    const chosen = ++round * 7919;
    return 1 + (chosen % (reads === 'hot' && round % 10 !== 0 ? hot : posts));
  };
  const once = async () => {
    const post = next();
    const rows = await pool.all(POST, [post]);
    if (rows.length === 0 || !rows.every(({ postId }) => postId === post))
      throw new Error(`Post ${post} was read wrongly.`);
  };
  // Full caches are measured, not their filling.
  await hammer({ workers: WORKERS, seconds: scale.warmUpSeconds }, once);
  const { perSecond, p50Ms, p99Ms } = await hammer({ workers: WORKERS, seconds }, once);
  const { size } = await stat(filename);
  return { perSecond, p50Ms, p99Ms, residentMiB: process.memoryUsage.rss() / MIB, fileMiB: size / MIB };
}

function table(reads: string, entries: readonly Entry[]): Table {
  const file = entries[0]?.metrics['fileMiB']?.median ?? NaN;
  return {
    title: `The newest 20 comments of a post, ${reads}; a file of ${shown(file)} MiB, 10 connections`,
    head: ['', 'per second', 'p50 ms', 'p99 ms', 'memory of the process, MiB'],
    rows: entries.map(({ variant, metrics }) => [
      variant,
      ...['perSecond', 'p50Ms', 'p99Ms', 'residentMiB'].map((metric) => shownFigure(metrics[metric])),
    ]),
    note: 'cache_size is per connection. What is mapped counts as memory of the process, and is shared by all connections.',
  };
}

function chart(entries: readonly Entry[]) {
  const values = entries.map(({ labels, variant, metrics }) => ({
    ...labels,
    variant,
    perSecond: metrics['perSecond']?.median ?? NaN,
  }));
  return {
    name: 'cache',
    title: 'Reads per second, by cache_size and mmap_size',
    spec: {
      data: { values },
      facet: { row: { field: 'reads', type: 'nominal' as const, title: null, sort: null } },
      spec: {
        width: 480,
        mark: 'bar' as const,
        encoding: {
          y: { field: 'variant', type: 'nominal' as const, sort: null, title: null },
          x: { field: 'perSecond', type: 'quantitative' as const, title: 'per second' },
        },
      },
    },
  };
}
