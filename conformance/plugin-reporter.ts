import type { SerializedError } from 'vitest';
import type { TestCase, TestModule } from 'vitest/node';
import { cell, SUITE } from './plugin-table.ts';

type Results = Map<string, Map<string, TestCase>>;

/** Prints how the cases for plugins went, as Markdown: one row for each case, then the table of docs/testing.md. */
export default class PluginReporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const frameworks: Results = new Map();
    for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
      if (test.parent.type !== 'suite' || !test.parent.name.startsWith(SUITE)) continue;
      const name = test.parent.name.slice(SUITE.length);
      const results = frameworks.get(name) ?? new Map<string, TestCase>();
      frameworks.set(name, results.set(test.name, test));
    }
    const names = [...frameworks.keys()].sort(byRank);
    const [first = new Map<string, TestCase>()] = frameworks.values();
    const cases = [...first.keys()];
    const groups = [...new Set(cases.map(groupOf))];
    const states = (title: string) => names.map((name) => stateOf(frameworks.get(name)?.get(title)));
    const count = (group: string, name: string): string => {
      const all = cases.filter((title) => groupOf(title) === group);
      const states = all.map((title) => stateOf(frameworks.get(name)?.get(title)));
      const passed = cell(states.filter((state) => state === 'passed').length, all.length);
      const failed = states.filter((state) => state !== 'passed' && state !== '–').length;
      return failed === 0 ? passed : `${passed}, ${String(failed)} FAILED`;
    };
    print(
      names,
      cases.map((title) => [title, ...states(title)]),
    );
    print(
      names,
      groups.map((group) => [group, ...names.map((name) => count(group, name))]),
    );
    for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
      const result = test.result();
      if (result.state === 'failed') console.error('FAILED', test.fullName, result.errors);
    }
    for (const module of modules)
      if (module.errors().length > 0) console.error(module.moduleId, module.errors());
    // Vitest ends with 1 for these, although every test has passed.
    for (const error of unhandled) console.error('UNHANDLED', error);
    console.log(`Errors that nobody handled: ${String(unhandled.length)}`);
  }
}

function stateOf(test: TestCase | undefined): string {
  const state = test?.result().state ?? 'not run';
  return state === 'skipped' ? '–' : state;
}

function groupOf(title: string): string {
  return title.slice(0, title.indexOf(': '));
}

const RANK = ['Fastify', 'Hono', 'Express', 'node:http'];

/** Highest versions first. */
function byRank(one: string, other: string): number {
  const rank = (name: string): number => RANK.findIndex((each) => name.startsWith(each));
  return rank(one) - rank(other) || other.localeCompare(one, 'en', { numeric: true });
}

function print(names: readonly string[], rows: readonly (readonly string[])[]): void {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const head = ['cases', ...names];
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'), '\n');
}
