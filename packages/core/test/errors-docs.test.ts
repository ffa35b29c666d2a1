import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { AcquirePhase, LostOutcome, OpenFailure } from '../src/index.ts';

const ROOT = new URL('../../../', import.meta.url);

async function read(path: string): Promise<string> {
  return await readFile(new URL(path, ROOT), 'utf8');
}

/** The text below a heading, up to the next one of the same level. */
function below(text: string, heading: string): string {
  const [, section = ''] = text.split(`\n## ${heading}\n`);
  return section.split('\n## ')[0] ?? '';
}

/** The codes in a text, in its order. */
function codesIn(text: string): string[] {
  return Array.from(text.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g), ([, code = '']) => code);
}

/** The codes whose heading in docs/errors.md says 503. Another test compares these with the errors themselves. */
async function retryable(): Promise<string[]> {
  const sections = (await read('docs/errors.md')).split('\n## ').slice(1);
  return sections
    .filter((section) => /^[A-Z_]+\n\n`\w+`, 503/.test(section))
    .map((section) => section.split('\n')[0] ?? '');
}

test('docs/errors.md lists the codes that mean "try again later"', async () => {
  const section = below(await read('docs/errors.md'), 'Errors that mean "try again later"');
  const listed = codesIn(section).filter((code) => code !== 'OPEN_FAILED');
  expect(listed.sort()).toEqual((await retryable()).sort());
  expect(listed).toHaveLength(7);
});

test.for(['fastify', 'hono', 'express'])(
  'the README of %s lists the errors that become a 503',
  async (name) => {
    const section = below(await read(`packages/${name}/README.md`), 'Errors');
    const listed = Array.from(section.matchAll(/^- `([A-Z_]+)`/gm), ([, code]) => code);
    expect(listed.sort()).toEqual([...(await retryable()), 'OPEN_FAILED'].sort());
    expect(section).toContain('`OPEN_FAILED`, if the reason is `unreachable`');
  },
);

/** Every reason, phase and outcome: the compiler finds one that is missing. */
const REASONS: Readonly<Record<OpenFailure, true>> = {
  'missing-directory': true,
  'missing-file': true,
  'is-a-directory': true,
  'not-permitted': true,
  'read-only': true,
  'not-a-database': true,
  unreachable: true,
  replaced: true,
  unknown: true,
};
const PHASES: Readonly<Record<AcquirePhase, true>> = { wait: true, open: true, validate: true, write: true };
const OUTCOMES: Readonly<Record<LostOutcome, true>> = { none: true, undone: true, unknown: true };

test.for([
  ['OPEN_FAILED', REASONS],
  ['ACQUIRE_TIMEOUT', PHASES],
  ['CONNECTION_LOST', OUTCOMES],
] as const)('the table below %s in docs/errors.md has every value', async ([code, values]) => {
  const rows = below(await read('docs/errors.md'), code).matchAll(/^\| `([a-z-]+)` \| /gm);
  const names = Array.from(rows, ([, name]) => name).filter(
    (name) => !/^(reason|phase|outcome)$/.test(name ?? ''),
  );
  expect(names.sort()).toEqual(Object.keys(values).sort());
});
