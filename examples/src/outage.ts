import { setTimeout } from 'node:timers/promises';

import Table from 'cli-table3';
import type { Driver } from '@sqlite-pool/core';
import { libsql } from '@sqlite-pool/core/libsql';

import { NO_SQLD, Server, SQLD } from '../../conformance/libsql-server.ts';

/** An example that serves, and the address it has. */
interface Running {
  readonly name: string;
  readonly url: string;
}

interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly body: unknown;
}

/** How long the demo waits for a server that was started again, in milliseconds. */
const PATIENCE_MS = 15_000;

/** A libSQL server with two replicas, on 127.0.0.1. */
export class Cluster {
  readonly primary: Server;
  readonly replicas: readonly Server[];
  /** What an application needs, and all that changes in it. With one driver each sees at once what another one has written. */
  readonly options: { readonly driver: Driver };

  private constructor(primary: Server, replicas: readonly Server[]) {
    this.primary = primary;
    this.replicas = replicas;
    const urls = replicas.map(({ url }) => url);
    this.options = { driver: libsql({ url: primary.url, replicas: urls, reads: 'replica' }) };
  }

  /** Starts all three; the primary begins with what is in the file. `servers` ends them and removes their files. */
  static async start(filename: string, servers: AsyncDisposableStack): Promise<Cluster> {
    if (SQLD === undefined) throw new Error(`${NO_SQLD}.`);
    const add = async (primary?: Server) =>
      servers.adopt(await Server.prepare({ ownGroup: true, ...(primary && { primary }) }), (server) =>
        server.remove(),
      );
    const primary = await add();
    await primary.fill(filename);
    await primary.start();
    const replicas = [await add(primary), await add(primary)];
    for (const replica of replicas) await replica.start();
    return new Cluster(primary, replicas);
  }
}

/** Kills the primary under the applications and starts it again; shows what they answer before, during and after. */
export async function showOutage(running: readonly Running[], { primary }: Cluster): Promise<void> {
  console.log('\nBefore:');
  const before = await showAnswers(running);

  const { pid } = primary;
  await primary.stop('SIGKILL');
  console.log(`\nThe primary (process ${pid}) was killed, with SIGKILL:`);
  await showAnswers(running);

  await primary.start();
  const since = performance.now();
  const times = await Promise.all(running.map((example) => timeUntilItAnswers(example)));
  console.log(
    `\nThe primary was started again (process ${primary.pid}). ${running.map(({ name }, at) => `${name} answers after ${Math.round((times[at] ?? since) - since)} ms`).join(', ')}:`,
  );
  const after = await showAnswers(running);

  await checkComments(running, [...before, ...after]);
  console.log('Every comment that was answered with 201 is there. No application was started again.');
}

/** Each application reads and writes once. Resolves to the ids of the comments that were acknowledged. */
async function showAnswers(running: readonly Running[]): Promise<number[]> {
  const table = new Table({
    head: ['', 'GET /posts/1', 'POST /posts/1/comments'],
    style: { head: [], border: [] },
  });
  const ids: number[] = [];
  for (const { name, url } of running) {
    const read = await ask(`${url}/posts/1`);
    const written = await ask(`${url}/posts/1/comments`, { userId: 1, body: 'Is anybody there?' });
    table.push([name, shown(read), shown(written)]);
    if (written.status === 201) ids.push((written.body as { id: number }).id);
  }
  console.log(table.toString());
  return ids;
}

function shown({ status, retryAfter }: Answer): string {
  return retryAfter === null ? String(status) : `${status}, Retry-After: ${retryAfter}`;
}

async function ask(url: string, body?: object): Promise<Answer> {
  const answer = await fetch(
    url,
    body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
  );
  return {
    status: answer.status,
    retryAfter: answer.headers.get('retry-after'),
    body: await answer.json(),
  };
}

async function timeUntilItAnswers({ name, url }: Running): Promise<number> {
  const end = performance.now() + PATIENCE_MS;
  while ((await ask(`${url}/posts/1`)).status !== 200) {
    if (performance.now() > end) throw new Error(`${name} does not answer, although the primary is back.`);
    await setTimeout(10);
  }
  return performance.now();
}

/** All applications must show them all. */
async function checkComments(running: readonly Running[], ids: readonly number[]): Promise<void> {
  for (const { name, url } of running) {
    const { comments } = (await ask(`${url}/posts/1`)).body as { comments: readonly { id: number }[] };
    const lost = ids.filter((id) => !comments.some((comment) => comment.id === id));
    if (lost.length > 0) throw new Error(`${name} does not show the comments ${lost.join(', ')}.`);
  }
}
