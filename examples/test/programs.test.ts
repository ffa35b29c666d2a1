import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { describe, expect, it, onTestFinished, vi } from 'vitest';

import { seededFile, temporaryFile } from './examples.ts';
import { SQLD } from '../../conformance/libsql-server.ts';
import { get } from './http.ts';

/** One of the programs, in a process of its own. */
class Program {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  /** Resolves to the exit status, once everything it printed is here. */
  readonly status: Promise<number | null>;
  output = '';
  errors = '';

  constructor(file: string, args: readonly string[] = [], env: Record<string, string> = {}) {
    const path = fileURLToPath(new URL(`../src/${file}`, import.meta.url));
    this.#child = spawn(process.execPath, [path, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => void this.#child.kill('SIGKILL'));
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.status = once(this.#child, 'close').then(([status]) => status as number | null);
  }

  /**
   * Resolves once it has printed what matches. The time limit is no promise of the program: it only ends a test whose program hangs.
   * On a busy machine, with other tests beside it, a demo may need more than 10 s until it listens.
   */
  async printed(pattern: RegExp, timeout = 40_000): Promise<RegExpExecArray> {
    return vi.waitUntil(() => pattern.exec(this.output), { timeout });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

describe('the demo', () => {
  it.each([[['--exit']], [['--', '--exit']]])(
    'with %j shows an answer of each framework and ends well',
    async (args) => {
      const TMPDIR = dirname(await temporaryFile());
      const program = new Program('demo.ts', args, { TMPDIR });
      expect(await program.status).toBe(0);
      for (const name of ['Fastify', 'Hono', 'Express'])
        expect(program.output).toMatch(new RegExp(`${name}: GET .* -> 200`));
      expect(program.output).toContain('300 comments at once');
      expect(await readdir(TMPDIR)).toEqual([]);
    },
  );

  it.each(['SIGINT', 'SIGTERM'] as const)(
    'stays up until it gets %s, then leaves no file and no process behind',
    async (signal) => {
      const TMPDIR = dirname(await temporaryFile());
      const program = new Program('demo.ts', [], { TMPDIR });
      const [, url, inspector, comparison] = await program.printed(
        /Fastify +│ (\S+)\/ [^]*the inspector +│ (\S+)[^]*the comparison +│ (\S+)[^]*Ctrl-C/,
      );
      expect((await get(`${url!}/users/1`)).status).toBe(200);
      expect((await get(inspector!)).status).toBe(200);
      expect((await get(`${comparison!}/state`)).status).toBe(200);
      if (process.platform === 'linux')
        expect(await leftIn(TMPDIR)).toEqual(
          expect.arrayContaining([expect.stringMatching(/child\.ts pool/)]),
        );
      program.kill(signal);
      expect(await program.status).toBe(0);
      expect(await leftIn(TMPDIR)).toEqual([]);
    },
  );

  it.runIf(process.platform === 'linux')('leaves no process behind when it is killed', async () => {
    const TMPDIR = dirname(await temporaryFile());
    const program = new Program('demo.ts', [], { TMPDIR });
    const [, comparison] = await program.printed(/the comparison +│ (\S+)[^]*Ctrl-C/);
    expect((await get(`${comparison!}/state`)).status).toBe(200);
    program.kill('SIGKILL');
    await program.status;
    await vi.waitFor(async () => expect((await leftIn(TMPDIR)).join('\n')).not.toContain('child.ts'));
  });

  it('takes another port when its own is taken', async () => {
    const squatter = createServer();
    onTestFinished(() => void squatter.close());
    // It fails if somebody else has the port: then that is what takes it.
    await new Promise<void>((done) => squatter.once('error', () => done()).listen(3001, '127.0.0.1', done));
    const program = new Program('demo.ts', ['--exit']);
    expect(await program.status).toBe(0);
    expect(program.output).not.toContain('127.0.0.1:3001/');
  });

  it('says what went wrong and ends with a status of its own', async () => {
    const program = new Program('demo.ts', ['--exit'], { TMPDIR: '/no/such/directory' });
    expect(await program.status).toBe(1);
    expect(program.errors).toMatch(/^The demo failed: /);
  });
});

describe.skipIf(SQLD === undefined)('the demo on a libSQL server with two replicas', () => {
  const unavailable = /503, Retry-After: \d+ +│ +503, Retry-After: \d+/;

  it('shows what each framework answers before, while and after the primary is gone, and ends well', async () => {
    const TMPDIR = dirname(await temporaryFile());
    const program = new Program('demo.ts', ['--driver', 'libsql', '--exit'], { TMPDIR });
    expect(await program.status).toBe(0);
    const [, before, during, after] = program.output.split(/\nBefore:|was killed|was started again/);
    for (const name of ['Fastify', 'Hono', 'Express']) {
      expect(before).toMatch(new RegExp(`${name} +│ 200 +│ 201 `));
      expect(during).toMatch(new RegExp(`${name} +│ ${unavailable.source}`));
      expect(after).toMatch(new RegExp(`${name} +│ 200 +│ 201 `));
    }
    expect(after).toContain('Every comment that was answered with 201 is there.');
    expect(await leftIn(TMPDIR)).toEqual([]);
  }, 60_000);

  it.each([
    ['while it shows the outage', /was killed/],
    ['while it stays up', /Ctrl-C/],
  ])(
    'leaves no server behind when it is interrupted %s',
    async (_when, moment) => {
      const TMPDIR = dirname(await temporaryFile());
      const program = new Program('demo.ts', ['--driver', 'libsql'], { TMPDIR });
      await program.printed(moment, 30_000);
      expect(await leftIn(TMPDIR)).toEqual(expect.arrayContaining([expect.stringContaining('sqld')]));
      program.kill('SIGINT');
      expect(await program.status).toBe(0);
      expect(await leftIn(TMPDIR)).toEqual([]);
    },
    60_000,
  );
});

/** The files in a directory, and the processes that were started on it. */
async function leftIn(directory: string): Promise<string[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(
    pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
  );
  return [
    ...(await readdir(directory)),
    ...commands
      .filter((command) => command.includes(directory))
      .map((command) => command.replaceAll('\0', ' ')),
  ];
}

describe.each(['fastify.ts', 'hono.ts', 'express.ts'])('%s as a program', (file) => {
  it('serves the database it is given until a signal stops it', async () => {
    const program = new Program(file, [], { PORT: '0', DATABASE: await seededFile() });
    const [, url] = await program.printed(/(http:\S+) serves/);
    expect((await get(`${url!}/users/1`)).status).toBe(200);
    program.kill('SIGTERM');
    expect(await program.status).toBe(0);
  });
});

describe('the seed program', () => {
  it('prints lines instead of a bar where there is no terminal', async () => {
    const file = await temporaryFile();
    const program = new Program('seed.ts', ['--scale', 'tiny', '--file', file]);
    expect(await program.status).toBe(0);
    expect(program.errors).toMatch(/^Seeding tiny .* 0% .*\nSeeding tiny .* 100% .*\n/);
  });

  it('says that a file is seeded already', async () => {
    const program = new Program('seed.ts', ['--scale', 'tiny', '--file', await seededFile()]);
    expect(await program.status).toBe(0);
    expect(program.output).toContain('is seeded already');
  });

  it.each([
    [['--scale', 'medium'], 'was seeded with the scale tiny'],
    [['--scale', 'huge'], 'Allowed choices are tiny, small, medium, full'],
  ])('ends with a message and a status when it cannot work: %j', async (args, message) => {
    const program = new Program('seed.ts', [...args, '--file', await seededFile()]);
    expect(await program.status).toBe(1);
    expect(program.errors).toContain(message);
  });
});
