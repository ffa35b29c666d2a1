import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import request from 'supertest';
import { describe, expect, it, onTestFinished } from 'vitest';

import { seededFile, temporaryFile } from './examples.ts';

interface Program {
  readonly child: ChildProcess;
  /** Everything it has printed, once it has ended. */
  readonly output: Promise<string>;
  readonly errors: Promise<string>;
  /** Resolves to its exit status. */
  readonly status: Promise<number | null>;
}

function run(file: string, args: readonly string[], env: Record<string, string> = {}): Program {
  const path = fileURLToPath(new URL(`../src/${file}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], { env: { ...process.env, ...env }, stdio: 'pipe' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return {
    child,
    output: text(child.stdout),
    errors: text(child.stderr),
    status: once(child, 'exit').then(([status]) => status as number | null),
  };
}

/** Resolves once the program has printed what matches. */
async function printed({ child }: Program, pattern: RegExp): Promise<RegExpExecArray> {
  let seen = '';
  for (;;) {
    const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
    seen += chunk.toString();
    const match = pattern.exec(seen);
    if (match) return match;
  }
}

describe('the demo', () => {
  it.each([[['--exit']], [['--', '--exit']]])(
    'with %j shows an answer of each framework and ends well',
    async (args) => {
      const TMPDIR = dirname(await temporaryFile());
      const { output, status } = run('demo.ts', args, { TMPDIR });
      expect(await status).toBe(0);
      for (const name of ['Fastify', 'Hono', 'Express'])
        expect(await output).toMatch(new RegExp(`${name}: GET .* -> 200`));
      expect(await output).toContain('300 comments at once');
      expect(await readdir(TMPDIR)).toEqual([]);
    },
  );

  it('stays up until it is interrupted, then leaves nothing behind', async () => {
    const TMPDIR = dirname(await temporaryFile());
    const program = run('demo.ts', [], { TMPDIR });
    const [, url] = await printed(program, /(http:\S+)\/users\/1[^]*Ctrl-C/);
    expect((await request(url!).get('/users/1')).status).toBe(200);
    program.child.kill('SIGINT');
    expect(await program.status).toBe(0);
    expect(await readdir(TMPDIR)).toEqual([]);
  });

  it('takes another port when its own is taken', async () => {
    const squatter = createServer().listen(3001, '127.0.0.1');
    // It may fail because somebody else has the port: that is the situation wanted.
    await Promise.race([once(squatter, 'listening'), once(squatter, 'error')]).catch(() => {});
    onTestFinished(() => void squatter.close());
    const { output, status } = run('demo.ts', ['--exit']);
    expect(await status).toBe(0);
    expect(await output).not.toContain('127.0.0.1:3001/');
  });

  it('says what went wrong and ends with a status of its own', async () => {
    const { errors, status } = run('demo.ts', ['--exit'], { TMPDIR: '/no/such/directory' });
    expect(await status).toBe(1);
    expect(await errors).toMatch(/^The demo failed: /);
  });
});

describe.each(['fastify.ts', 'hono.ts', 'express.ts'])('%s as a program', (file) => {
  it('serves the database it is given until it is told to stop', async () => {
    const program = run(file, [], { PORT: '0', DATABASE: await seededFile() });
    const [, url] = await printed(program, /(http:\S+) serves/);
    expect((await request(url!).get('/users/1')).status).toBe(200);
    program.child.kill('SIGTERM');
    expect(await program.status).toBe(0);
  });
});

describe('the seed program', () => {
  it('prints lines instead of a bar where there is no terminal', async () => {
    const file = await temporaryFile();
    const { errors, status } = run('seed.ts', ['--scale', 'tiny', '--file', file]);
    expect(await status).toBe(0);
    expect(await errors).toMatch(/^Seeding tiny .* 0% .*\nSeeding tiny .* 100% .*\n/);
  });

  it('says that a file is seeded already', async () => {
    const { output, status } = run('seed.ts', ['--scale', 'tiny', '--file', await seededFile()]);
    expect(await status).toBe(0);
    expect(await output).toContain('is seeded already');
  });

  it.each([
    [['--scale', 'medium'], 'was seeded with the scale tiny'],
    [['--scale', 'huge'], 'Allowed choices are tiny, small, medium, full'],
  ])('ends with a message and a status when it cannot work: %j', async (args, message) => {
    const { errors, status } = run('seed.ts', [...args, '--file', await seededFile()]);
    expect(await status).toBe(1);
    expect(await errors).toContain(message);
  });
});
