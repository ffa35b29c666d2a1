import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { describe, expect, it } from 'vitest';

import { names } from '../src/benchmarks.ts';
import { draw } from '../src/charts.ts';
import { Figures } from '../src/figures.ts';
import { withResults, withSummary } from '../src/readme.ts';
import { readAllResults, readResults, resultsOf, shown, shownFigure, verdictOf } from '../src/results.ts';
import { scales } from '../src/scale.ts';

const home = fileURLToPath(new URL('..', import.meta.url));
const labels = { writers: 4 };
const point = (variant: string) => ({ labels, variant, metric: 'perSecond' });

function figuresOf(rounds: Readonly<Record<string, readonly number[]>>): Figures {
  const figures = new Figures();
  for (const [variant, values] of Object.entries(rounds))
    for (const perSecond of values) figures.add(labels, variant, { perSecond });
  return figures;
}

describe('figures', () => {
  it('are the median over the rounds, with its spread', () => {
    const figures = figuresOf({ odd: [3, 1, 50], even: [1, 4, 2, 100] });
    expect(figures.at(point('odd'))).toEqual({ median: 3, min: 1, max: 50, rounds: [3, 1, 50] });
    expect(figures.at(point('even'))).toMatchObject({ median: 3, min: 1, max: 100 });
  });

  it('are compared within each round, where a slow machine was slow to both', () => {
    const figures = figuresOf({ over: [10, 100, 30], under: [5, 50, 10] });
    expect(figures.ratio(point('over'), point('under'))).toMatchObject({ median: 2, rounds: [2, 2, 3] });
  });

  it('that were not measured are not taken for zero', () => {
    const figures = figuresOf({ measured: [1] });
    expect(figures.find(point('other'))).toBeUndefined();
    expect(() => figures.at(point('other'))).toThrow('Not measured');
    expect(() => figures.ratio(point('measured'), point('other'))).toThrow('Not measured');
  });

  it('are printed with three digits, and a spread where there are rounds', () => {
    expect([0.01234, 1.26, 99.96, 12_345.6].map(shown)).toEqual(['0.0123', '1.26', '100', '12,346']);
    expect(shownFigure(figuresOf({ a: [1, 2, 4] }).at(point('a')))).toBe('2 (1–4)');
    expect(shownFigure(undefined)).toBe('–');
  });
});

describe('a target', () => {
  it.each([
    [{ value: 0.9, atLeast: 0.8 }, 'reached: 0.9'],
    [{ value: 0.5, atLeast: 0.8 }, 'not reached: 0.5, 0.3 too little'],
    [{ value: 0, atMost: 0 }, 'reached: 0'],
    [{ value: 30, atMost: 25 }, 'not reached: 30, 5 too much'],
    [{ value: NaN, atMost: 25 }, 'not reached: –, – too much'],
  ])('%j reads as %s', (target, verdict) => {
    expect(verdictOf({ text: 'a target', ...target })).toBe(verdict);
  });
});

describe('a chart', () => {
  it('is drawn as an SVG that has its data in it', async () => {
    const svg = await draw({
      data: { values: [{ variant: 'sqlite-pool', perSecond: 5 }] },
      mark: 'bar',
      encoding: { y: { field: 'variant' }, x: { field: 'perSecond', type: 'quantitative' } },
    });
    expect(svg).toMatch(/^<svg [^]*<\/svg>$/);
    expect(svg).toContain('sqlite-pool');
  });
});

describe('README.md', () => {
  const machine = {
    cpu: 'CPU',
    cores: 2,
    memoryGiB: 4,
    system: 'Linux',
    filesystem: 'ext4',
    node: 'v24',
    sqlite: '3',
    date: '2026-01-01',
  };
  const report = {
    tables: [{ title: 'A table', head: ['', 'a|b'], rows: [['x', '1']] }],
    targets: [{ text: 'a target', value: 1, atLeast: 1 }],
    charts: [{ name: 'chart', title: 'A chart', spec: { data: { values: [] }, mark: 'bar' as const } }],
  };
  const results = resultsOf('writes', machine, scales.tiny, report, figuresOf({ a: [1] }));

  it('gets the results between the markers, in the place of those before', () => {
    const text = 'before\n<!-- results: writes -->\nold\n<!-- /results -->\nafter';
    const updated = withResults(text, results);
    expect(updated).toMatch(/^before\n<!-- results: writes -->\n[^]*<!-- \/results -->\nafter$/);
    expect(updated).not.toContain('old');
    for (const part of ['2 × CPU', '| a target | reached: 1 |', '|  | a\\|b |', 'charts/chart-dark.svg'])
      expect(updated).toContain(part);
    expect(withResults(updated, results)).toBe(updated);
  });

  it('gets, in one table, what was to be reached, and whether it was', () => {
    const updated = withSummary('<!-- results: all -->\n<!-- /results -->', [results]);
    expect(updated).toContain('| [writes](#writes) | a target | at least 1 | reached: 1 |');
  });

  it('says in that table what results/ says', async () => {
    const text = await readFile(`${home}README.md`, 'utf8');
    expect(withSummary(text, await readAllResults(`${home}results`, names))).toBe(text);
  });

  it('without markers is an error, not a loss', () => {
    expect(() => withResults('', results)).toThrow('no markers for the results of writes');
  });

  it.each(names)('says of %s what results/ says', async (name) => {
    const text = await readFile(`${home}README.md`, 'utf8');
    const stored = await readResults(`${home}results`, name);
    const nothing = `<!-- results: ${name} -->\n<!-- /results -->`;
    expect(stored ? withResults(text, stored) === text : text.includes(nothing)).toBe(true);
  });
});
