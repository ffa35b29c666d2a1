import { readFile, writeFile } from 'node:fs/promises';

import type { Table } from './benchmark.ts';
import { absent, shown, type Results } from './results.ts';

/** Puts results between the markers of their benchmark; what stands outside is written by hand. */
export async function updateReadme(path: string, results: readonly Results[]): Promise<void> {
  let text = await readFile(path, 'utf8');
  for (const each of results) text = withResults(text, each);
  await writeFile(path, text);
}

/** Puts what was to be reached, and whether it was, into one table. */
export async function updateSummary(path: string, results: readonly Results[]): Promise<void> {
  await writeFile(path, withSummary(await readFile(path, 'utf8'), results));
}

/** `<!-- results: all -->` … `<!-- /results -->` */
export function withSummary(text: string, results: readonly Results[]): string {
  const rows = results.flatMap(({ benchmark, targets }) =>
    targets.map(({ text: what, atLeast, atMost, verdict }) => [
      `[${benchmark}](#${benchmark})`,
      what,
      atLeast === undefined ? `at most ${shown(atMost ?? NaN)}` : `at least ${shown(atLeast)}`,
      verdict,
    ]),
  );
  return between(text, 'all', markdownTable(['benchmark', 'what', 'target', 'measured'], rows));
}

/** `<!-- results: writes -->` … `<!-- /results -->` */
export function withResults(text: string, results: Results): string {
  return between(text, results.benchmark, markdownOf(results));
}

function between(text: string, name: string, content: string): string {
  const start = `<!-- results: ${name} -->`;
  const from = text.indexOf(start);
  const to = text.indexOf('<!-- /results -->', from);
  if (from < 0 || to < 0) throw new Error(`README.md has no markers for the results of ${name}.`);
  return `${text.slice(0, from + start.length)}\n\n${content}\n\n${text.slice(to)}`;
}

function markdownOf(results: Results): string {
  const { machine, scale, targets, tables, charts } = results;
  const { cpu, cores, memoryGiB, system, filesystem, node, sqlite, date } = machine;
  return [
    `Scale ${scale.name}; median over the rounds (${scale.rounds}), ${scale.seconds} s each. ${date}, ${cores} × ${cpu}, ` +
      `${memoryGiB} GiB, ${system}, ${filesystem}, Node.js ${node}, SQLite ${sqlite}.`,
    ...(targets.length > 0
      ? [
          markdownTable(
            ['target', 'verdict'],
            targets.map(({ text, verdict }) => [text, verdict]),
          ),
        ]
      : []),
    ...tables.flatMap(({ title, head, rows, note }) => [
      `**${title}**`,
      markdownTable(head, rows),
      ...(note === undefined ? [] : [note]),
    ]),
    ...absent(results).map((line) => `Not measured: ${line}.`),
    ...charts.map(
      ({ name, title }) =>
        `<picture><source media="(prefers-color-scheme: dark)" srcset="charts/${name}-dark.svg">` +
        `<img alt="${title}" src="charts/${name}-light.svg"></picture>`,
    ),
  ].join('\n\n');
}

function markdownTable(head: Table['head'], rows: Table['rows']): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
