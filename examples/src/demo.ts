import { copyFile, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Table from 'cli-table3';
import { Command, Option } from 'commander';
import getPort from 'get-port';

import { startComparison } from './comparison/server.ts';
import { startExpress } from './express.ts';
import { startFastify } from './fastify.ts';
import { startHono } from './hono.ts';
import { seedWithProgress } from './shared/progress.ts';
import { stopSignal } from './shared/server.ts';

const examples = [
  { name: 'Fastify', start: startFastify, port: 3001, sample: '/users/1' },
  { name: 'Hono', start: startHono, port: 3002, sample: '/posts/1' },
  { name: 'Express', start: startExpress, port: 3003, sample: '/feed?limit=2' },
];

interface Running {
  readonly name: string;
  readonly url: string;
  readonly sample: string;
}

interface Options {
  readonly exit: boolean;
  readonly driver: 'file' | 'libsql';
}

async function demo({ exit, driver }: Options): Promise<void> {
  // From here on, so that Ctrl-C at any moment still closes everything and leaves no files.
  const stopped = stopSignal();
  await using directory = await mkdtempDisposable(join(tmpdir(), 'sqlite-pool-demo-'));
  const filename = join(directory.path, 'social.db');
  await seedWithProgress(filename, 'small');

  await using servers = new AsyncDisposableStack();
  // The comparison has a copy, because the servers write into the original.
  const untouched = join(directory.path, 'comparison.db');
  await copyFile(filename, untouched);
  const comparison = await startComparison(await freePort(3004), untouched);
  servers.defer(() => comparison.close());
  const outage = driver === 'libsql' ? await import('./outage.ts') : undefined;
  const cluster = await outage?.Cluster.start(filename, servers);
  const running: Running[] = [];
  for (const { name, start, port, sample } of examples) {
    const server = await start(await freePort(port), cluster?.options ?? { filename }, {
      comparison: comparison.url,
    });
    servers.defer(() => server.close());
    running.push({ name, url: server.url, sample });
  }

  const database = cluster
    ? `a libSQL server at ${cluster.primary.url} with replicas at ${cluster.replicas.map(({ url }) => url).join(' and ')}`
    : filename;
  const [first] = running;
  showTable(running, database, [
    ['the inspector', `${first?.url ?? ''}/sqlite`],
    ['the comparison', comparison.url],
  ]);
  for (const example of running) await showAnswer(example);
  await showWrites(running);
  if (cluster) await outage?.showOutage(running, cluster);

  if (exit) return;
  console.log('\nThe servers stay up. Ctrl-C stops them.');
  await stopped;
}

const freePort = (port: number): Promise<number> => getPort({ host: '127.0.0.1', port });

function showTable(running: readonly Running[], database: string, more: [string, string][]): void {
  const table = new Table({ head: ['open', 'in a browser'], style: { head: [], border: [] } });
  for (const { name, url } of running) table.push([name, `${url}/`]);
  table.push(...more);
  console.log(`\nThree frameworks, three pools, one database: ${database}\n${table.toString()}`);
}

async function showAnswer({ name, url, sample }: Running): Promise<void> {
  const answer = await fetch(url + sample);
  if (!answer.ok) throw new Error(`${name} answered GET ${sample} with ${answer.status}`);
  const { comments, ...body } = (await answer.json()) as { comments?: unknown[] };
  console.log(`\n${name}: GET ${sample} -> ${answer.status}`);
  console.log(comments ? { ...body, comments: [comments[0], `… ${comments.length - 1} more`] } : body);
}

/** Three pools on one database write one after the other, in one queue: no caller gets "database is locked". */
async function showWrites(running: readonly Running[]): Promise<void> {
  const start = performance.now();
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      running.map(({ url }) =>
        fetch(`${url}/posts/${index + 1}/comments`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ userId: 1, body: 'Written all at once.' }),
        }),
      ),
    ).flat(),
  );
  const elapsed = Math.round(performance.now() - start);
  const failed = answers.find(({ status }) => status !== 201);
  if (failed) throw new Error(`a write was answered with ${failed.status}: ${await failed.text()}`);
  console.log(
    `\n${answers.length} comments at once, ${running.length} frameworks -> all 201 in ${elapsed} ms, none met a locked database.`,
  );
}

// pnpm passes the "--" of `pnpm demo -- --exit` on, which would make an argument of the option.
const args = process.argv.slice(2);
const program = new Command('demo')
  .description('Starts all three examples on one database and shows what they answer.')
  .addOption(
    new Option('--driver <name>', 'a file, or a libSQL server with two replicas, whose primary is killed')
      .choices(['file', 'libsql'])
      .default('file'),
  )
  .option('--exit', 'end after the answers instead of staying up', false)
  .parse(args[0] === '--' ? args.slice(1) : args, { from: 'user' });

try {
  await demo(program.opts<Options>());
} catch (error) {
  program.error(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
}
