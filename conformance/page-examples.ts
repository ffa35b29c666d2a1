import { fork } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import type { ExampleOutcome } from './run-examples.ts';

const ROOT = join(import.meta.dirname, '..');

/** An example on a page, and what a reader needs to run it. */
export interface Example {
  /** The beginning of its text. */
  readonly starts: string;
  /** What the page takes for granted: it stands before the example. */
  readonly given?: string;
  /** Stands after the example, to look at what it did. */
  readonly then?: string;
  /** The code of the error with which the example shows how a mistake ends. */
  readonly rejects?: string;
  /** Whether it goes on where the example before it ends. */
  readonly goesOn?: true;
  /** The folder whose packages it uses. Default: the folder of its page. */
  readonly folder?: string;
  /** The addresses of packages that its folder does not have, by name. */
  readonly packages?: Readonly<Record<string, string>>;
  /** The test that runs it already. */
  readonly elsewhere?: string;
}

/** The examples of a page in JavaScript and TypeScript, in order. */
export async function examplesOf(page: string): Promise<{ language: string; code: string }[]> {
  const text = await readFile(join(ROOT, page), 'utf8');
  return Array.from(text.matchAll(/^```(js|ts)\n([^]*?)^```$/gm), ([, language = '', code = '']) => ({
    language,
    code,
  }));
}

/**
 * Runs the examples of a page one after the other in one process, each in a directory of its own. Fails if the page has an example
 * that is not in the list.
 */
export async function runExamples(page: string, folder: string, list: readonly Example[]): Promise<void> {
  const found = await examplesOf(page);
  expect(found.map(({ code }, index) => code.slice(0, list[index]?.starts.length))).toEqual(
    list.map(({ starts }) => starts),
  );
  for (const { elsewhere } of list) if (elsewhere !== undefined) await access(join(ROOT, elsewhere));
  const files: string[] = [];
  for (const [index, { language, code }] of found.entries()) {
    const example = list[index];
    if (example === undefined || example.elsewhere !== undefined) continue;
    const directory = await directoryIn(join(ROOT, example.folder ?? folder));
    const file = join(directory, language === 'ts' ? 'example.mts' : 'example.mjs');
    const before = example.goesOn ? (found[index - 1]?.code ?? '') : '';
    await writeFile(file, moduleOf(example, before + code));
    files.push(file);
  }
  const here = list.filter(({ elsewhere }) => elsewhere === undefined);
  const outcomes = await outcomesOf(files);
  expect(here.map(({ starts }, index) => ({ starts, ends: outcomes[index] }))).toEqual(
    here.map(({ starts, rejects = 'nothing' }) => ({ starts, ends: rejects })),
  );
}

function moduleOf({ given = '', then = '', packages = {} }: Example, code: string): string {
  // A check after the example needs it, and so do some examples.
  const assert = code.includes('import assert') ? '' : "import assert from 'node:assert/strict';";
  const whole = [assert, given, code.replace('3000', '0'), then].join('\n');
  return Object.entries(packages).reduce(
    (text, [name, address]) => text.replace(`from '${name}'`, `from '${address}'`),
    whole,
  );
}

/** Inside a package, so that an example finds the packages by their names. */
async function directoryIn(folder: string): Promise<string> {
  await mkdir(join(folder, 'reports'), { recursive: true });
  const directory = await mkdtemp(join(folder, 'reports', 'example-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** With which error each ended: its code, else its text, and `nothing` for none. */
async function outcomesOf(files: readonly string[]): Promise<string[]> {
  const child = fork(join(import.meta.dirname, 'run-examples.ts'), {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  child.stdout?.resume();
  child.stderr?.resume();
  const ended = once(child, 'exit').then((): [ExampleOutcome[]] => [[]]);
  child.send(files);
  const [outcomes] = (await Promise.race([once(child, 'message'), ended])) as [ExampleOutcome[]];
  // Its directories can be removed then, on Windows too.
  await ended;
  return outcomes.map(({ error }) => error);
}

/** The address of a package that another folder of the repository has, for an example that imports it. */
export function packageOf(folder: string, name: string): string {
  return pathToFileURL(createRequire(join(ROOT, folder, 'package.json')).resolve(name)).href;
}
