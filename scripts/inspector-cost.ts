/**
 * What the inspector costs a server: the CPU time of an answer to its page, over HTTP and in a process of its own, and what
 * its subscriptions add to a call. `npx pnpm build && npx pnpm exec node scripts/inspector-cost.ts`.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type * as channels from '../packages/core/dist/channels.js';
import type * as core from '../packages/core/dist/index.js';
import type * as inspectors from '../packages/inspector/dist/index.js';

const POLLS = 2000;
const POLLS_PER_SECOND = 10;
/** As many as the inspector keeps. */
const TEXTS = 500;
const CALLS = 20_000;
const ROUNDS = 7;

const built = (path: string): string => new URL(`../packages/${path}.js`, import.meta.url).href;
const { createPool } = (await import(built('core/dist/index'))) as typeof core;
const { queryChannel } = (await import(built('core/dist/channels'))) as typeof channels;
const { createInspector } = (await import(built('inspector/dist/index'))) as typeof inspectors;

if (process.send === undefined) {
  console.table(await answers());
  console.table(await calls());
} else await serve();

/** Polls a server in another process, which measures its own CPU time. */
async function answers(): Promise<Record<string, object>> {
  const child = fork(import.meta.filename);
  const [address] = (await once(child, 'message')) as [string];
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const poll = async (query: string): Promise<number> => {
    const [response] = (await once(get(`${address}/state.json?${query}`, { agent }), 'response')) as [
      IncomingMessage,
    ];
    let bytes = 0;
    for await (const part of response) bytes += (part as Buffer).length;
    return bytes;
  };
  const rows: Record<string, object> = {};
  for (const [title, isBusy, after] of [
    ['a page that is open', false, 'now'],
    [`the same, and ${String(TEXTS)} statements have run since the last answer`, true, 'now'],
    ['a page that opens: five minutes', false, ''],
  ] as const) {
    const query = after === '' ? '' : `after=${String(Math.floor(Date.now() / 1000) - 2)}`;
    for (let warm = 0; warm < POLLS / 10; warm += 1) await poll(query);
    child.send({ isBusy });
    await once(child, 'message');
    let bytes = 0;
    for (let count = 0; count < POLLS; count += 1) bytes = await poll(query);
    child.send('end');
    const [cpuMs] = (await once(child, 'message')) as [number];
    rows[title] = {
      'CPU, ms': Number((cpuMs / POLLS).toFixed(3)),
      [`a core, at ${String(POLLS_PER_SECOND)} a second`]: `${((cpuMs / POLLS / 10) * POLLS_PER_SECOND).toFixed(2)} %`,
      KiB: Math.round(bytes / 1024),
    };
  }
  agent.destroy();
  child.kill();
  return rows;
}

/** The other process: an inspector that remembers as much as it can. */
async function serve(): Promise<void> {
  const pool = createPool({ filename: ':memory:' });
  await pool.get('SELECT 1');
  let now = Date.now() - 300_000;
  const inspector = createInspector({ pool, now: () => now });
  const source = { pool, poolName: 'app.db', database: 'app.db', driver: 'node:sqlite', request: undefined };
  const times = { durationMs: 2, waitMs: 0.1, lockMs: 0, runMs: 1.9, busyRetries: 0, error: undefined };
  const publish = (text: number): void => {
    const sql = `SELECT id, name, created_at FROM users_${String(text)} WHERE name = ? ORDER BY created_at LIMIT 10`;
    const event = {
      ...source,
      ...times,
      sql,
      method: 'all',
      kind: 'read',
      statements: 1,
      groupSize: 1,
      phase: 'ended',
    };
    queryChannel.start.publish(event);
    queryChannel.asyncEnd.publish(event);
  };
  for (; now < Date.now(); now += 1000) for (let text = 0; text < TEXTS; text += 1) publish(text);
  let isBusy = false;
  const work = (): void => {
    for (let text = 0; isBusy && text < TEXTS; text += 1) publish(text);
  };
  const server = createServer((request, response) => {
    work();
    inspector.listener(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  let before = process.cpuUsage();
  process.on('message', (message: { readonly isBusy: boolean } | 'end') => {
    if (message === 'end') {
      const whole = cpuSince(before);
      before = process.cpuUsage();
      for (let poll = 0; poll < POLLS; poll += 1) work();
      process.send?.(whole - cpuSince(before));
    } else {
      ({ isBusy } = message);
      before = process.cpuUsage();
      process.send?.('ready');
    }
  });
  process.send?.(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
}

/** The CPU time of all threads of this process, in milliseconds. */
function cpuSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** The time of a read of one row, one after the other: the best of some rounds. */
async function calls(): Promise<Record<string, object>> {
  const pool = createPool({ filename: ':memory:' });
  const best = { without: Infinity, with: Infinity };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const which of ['without', 'with'] as const) {
      const inspector = which === 'with' ? createInspector({ pool }) : undefined;
      const since = performance.now();
      for (let call = 0; call < CALLS; call += 1) await pool.get('SELECT 1');
      best[which] = Math.min(best[which], ((performance.now() - since) / CALLS) * 1000);
      inspector?.close();
    }
  }
  await pool.close();
  const row = { 'without it, µs': best.without.toFixed(1), 'with it, µs': best.with.toFixed(1) };
  return { 'a get() of one row': row };
}
