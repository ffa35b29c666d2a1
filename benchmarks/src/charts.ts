import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { parse, View } from 'vega';
import { compile, type Config, type TopLevelSpec } from 'vega-lite';

import type { Chart } from './benchmark.ts';

/** Told apart by people who see colours differently, on white and on black: https://doi.org/10.1038/nmeth.1618 */
const palette = ['#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#999999'];

const themes = { light: themeOf('#1f2328', '#d1d9e0'), dark: themeOf('#f0f6fc', '#3d444d') };

export async function writeCharts(directory: string, charts: readonly Chart[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const { name, title, spec } of charts) {
    for (const [theme, config] of Object.entries(themes))
      await writeFile(join(directory, `${name}-${theme}.svg`), `${await draw({ title, ...spec, config })}\n`);
  }
}

export async function draw(spec: TopLevelSpec): Promise<string> {
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}

function themeOf(ink: string, grid: string): Config {
  return {
    background: 'transparent',
    font: 'system-ui, sans-serif',
    view: { stroke: null, continuousWidth: 560, continuousHeight: 320, discreteHeight: { step: 26 } },
    mark: { color: palette[0] ?? ink },
    range: { category: palette },
    title: { color: ink, anchor: 'start', fontSize: 14 },
    axis: {
      labelLimit: 400,
      labelColor: ink,
      titleColor: ink,
      gridColor: grid,
      domainColor: grid,
      tickColor: grid,
    },
    legend: { labelColor: ink, titleColor: ink, orient: 'bottom', title: null, labelLimit: 400 },
    header: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
    headerRow: { labelOrient: 'top', labelAngle: 0, labelAnchor: 'start' },
    facet: { spacing: 30 },
    text: { color: ink },
  };
}
