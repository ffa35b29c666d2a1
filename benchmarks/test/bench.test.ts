import { execFile } from 'node:child_process';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { SaxesParser } from 'saxes';
import { describe, expect, it } from 'vitest';

import { names } from '../src/benchmarks.ts';
import type { Results } from '../src/results.ts';

const program = fileURLToPath(new URL('../src/bench.ts', import.meta.url));

const bench = (...args: string[]) => promisify(execFile)(process.execPath, [program, ...args]);

/** All of them take half a minute: `pnpm test` tries one, `pnpm test:long` every one. */
const tried = process.env['BENCHMARKS'] === 'all' ? names : ['cache'];

describe.concurrent.each(tried)('bench %s', (name) => {
  it('measures everything it plans, and writes results and charts', async ({ expect }) => {
    await using out = await mkdtempDisposable(join(tmpdir(), 'sqlite-pool-bench-'));
    await bench(name, '--scale', 'tiny', '--out', out.path);
    const text = await readFile(join(out.path, 'results', `${name}.json`), 'utf8');
    const { machine, scale, tables, targets, charts, figures } = JSON.parse(text) as Results;
    expect(machine).toMatchObject({ node: process.version, cores: expect.any(Number) as number });
    expect(scale).toMatchObject({ name: 'tiny', rounds: 1 });
    expect(figures.length).toBeGreaterThan(0);
    for (const { metrics, unavailable } of figures)
      expect(unavailable ?? Object.keys(metrics).length).toBeTruthy();
    expect(tables.length).toBeGreaterThan(0);
    for (const { head, rows } of tables) for (const row of rows) expect(row).toHaveLength(head.length);
    for (const { verdict } of targets) expect(verdict).toMatch(/^(not )?reached: -?[\d,.–]+/);
    for (const chart of charts) {
      for (const theme of ['light', 'dark']) {
        const svg = await readFile(join(out.path, 'charts', `${chart.name}-${theme}.svg`), 'utf8');
        new SaxesParser().write(svg).close(); // throws where it is not well-formed
        expect(svg).toContain('<svg ');
      }
    }
  });
});

describe('bench', () => {
  it('says which benchmarks there are when it is asked for another one', async () => {
    await expect(bench('speed')).rejects.toMatchObject({
      stderr: expect.stringContaining(names.join(', ')) as string,
    });
  });
});
