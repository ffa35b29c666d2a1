import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Report, Table, Target } from './benchmark.ts';
import type { Entry, Figure, Figures } from './figures.ts';
import type { Machine } from './machine.ts';
import type { Scale } from './scale.ts';

/** What `results/<name>.json` holds. */
export interface Results {
  readonly benchmark: string;
  readonly machine: Machine;
  readonly scale: Scale;
  readonly targets: readonly (Target & { readonly verdict: string })[];
  readonly tables: readonly Table[];
  readonly charts: readonly { readonly name: string; readonly title: string }[];
  /** Everything that was measured, round by round. */
  readonly figures: readonly Entry[];
}

export function resultsOf(
  benchmark: string,
  machine: Machine,
  scale: Scale,
  { tables, targets = [], charts = [] }: Report,
  figures: Figures,
): Results {
  return {
    benchmark,
    machine,
    scale,
    targets: targets.map((target) => ({ ...target, verdict: verdictOf(target) })),
    tables,
    charts: charts.map(({ name, title }) => ({ name, title })),
    figures: figures.entries(),
  };
}

/** Who did not take part, and why: a line each. */
export function absent({ figures }: Results): readonly string[] {
  const reasons = figures.flatMap(({ variant, unavailable }) =>
    unavailable === undefined ? [] : `${variant}: ${unavailable}`,
  );
  return [...new Set(reasons)];
}

/** Reached, or by how much not. */
export function verdictOf({ value, atLeast, atMost }: Target): string {
  if (atLeast !== undefined && !(value >= atLeast))
    return `not reached: ${shown(value)}, ${shown(atLeast - value)} too little`;
  if (atMost !== undefined && !(value <= atMost))
    return `not reached: ${shown(value)}, ${shown(value - atMost)} too much`;
  return `reached: ${shown(value)}`;
}

/** Three digits: the machine is not more exact. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const rounded = Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
  return rounded.toLocaleString('en-US', { maximumFractionDigits: 4 });
}

/** The median, and its spread where there is one. */
export function shownFigure(figure: Figure | undefined): string {
  if (!figure) return '–';
  const { median, min, max, rounds } = figure;
  return rounds.length > 1 ? `${shown(median)} (${shown(min)}–${shown(max)})` : shown(median);
}

export async function writeResults(directory: string, results: Results): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, `${results.benchmark}.json`), `${JSON.stringify(results, null, 2)}\n`);
}

export async function readResults(directory: string, benchmark: string): Promise<Results | undefined> {
  try {
    return JSON.parse(await readFile(join(directory, `${benchmark}.json`), 'utf8')) as Results;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Those there are, in the order of the names. */
export async function readAllResults(directory: string, names: readonly string[]): Promise<Results[]> {
  const all = await Promise.all(names.map((name) => readResults(directory, name)));
  return all.filter((results) => results !== undefined);
}
