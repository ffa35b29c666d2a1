import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createPool } from '@sqlite-pool/core';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

const CLIENTS = 16;

/** What became of the requests of all clients. */
interface Load {
  readonly answers: { method: string; status: number }[];
  /** Codes of requests that got no answer. */
  readonly failures: (string | undefined)[];
  /** Answers that ended in the middle. */
  readonly halves: string[];
  /** Resolves when the last client has found the server gone. */
  readonly ended: Promise<unknown>;
}

/** Clients that each keep a connection, and send the next request as soon as they have the answer. */
function hammer(port: number): Load {
  const answers: Load['answers'] = [];
  const failures: Load['failures'] = [];
  const halves: string[] = [];
  const client = async (method: string): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (;;) {
      try {
        const sent = request({ agent, port, host: '127.0.0.1', method, path: '/' }).end();
        const [answer] = (await once(sent, 'response')) as [IncomingMessage];
        answers.push({ method, status: answer.statusCode ?? 0 });
        answer.resume();
        await once(answer, 'end').catch((error: unknown) => halves.push(String(error)));
      } catch (error) {
        const { code } = error as { code?: string };
        failures.push(code);
        agent.destroy();
        // Nobody listens any more.
        if (code === 'ECONNREFUSED') return;
      }
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, index) => client(index % 2 === 0 ? 'GET' : 'POST'));
  return { answers, failures, halves, ended: Promise.all(clients) };
}

describe('SIGTERM under load', () => {
  test.each(['fastify', 'hono', 'express'])(
    'F48 in %s: every answer is the one of the handler, and the process ends by itself with the WAL written back',
    async (framework) => {
      const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-smoke-'));
      onTestFinished(() => rm(directory, { recursive: true }));
      const filename = join(directory, 'app.db');
      const script = fileURLToPath(new URL(`../src/shutdown/${framework}.mjs`, import.meta.url));
      const child = fork(script, [filename], { execArgv: [] });
      onTestFinished(() => void child.kill('SIGKILL'));
      const exit = once(child, 'exit');
      const [port] = (await once(child, 'message')) as [number];

      const load = hammer(port);
      await vi.waitFor(() => expect(load.answers.length).toBeGreaterThan(200), { timeout: 20_000 });
      const since = performance.now();
      child.kill('SIGTERM');
      const late = pass(10_000, 'too late', { ref: false });
      expect(await Promise.race([exit, late])).toEqual([0, null]);
      const took = performance.now() - since;
      await load.ended;

      expect(took).toBeLessThan(5000);
      expect(load.answers.filter(({ status }) => status !== 200)).toEqual([]);
      expect(load.halves).toEqual([]);
      const gone = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE']);
      expect(load.failures.filter((code) => code === undefined || !gone.has(code))).toEqual([]);
      expect(existsSync(`${filename}-wal`)).toBe(false);

      await using pool = createPool({ filename });
      const row = await pool.get<{ count: number }>('SELECT count(*) AS count FROM notes');
      const written = load.answers.filter(({ method }) => method === 'POST').length;
      expect(row?.count).toBeGreaterThanOrEqual(written);
      expect((row?.count ?? NaN) - written).toBeLessThanOrEqual(load.failures.length);
    },
  );
});
