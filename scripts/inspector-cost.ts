/**
 * What the inspector costs a busy server: the share of a core that ten polls of its page in a second take, and what its
 * subscriptions add to a call. `npx pnpm build && npx pnpm exec node scripts/inspector-cost.ts`.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type * as core from '../packages/core/dist/index.js';
import type * as inspectors from '../packages/inspector/dist/index.js';

const POLLS = 2000;
const POLLS_PER_SECOND = 10;
const TEXTS = 500;
const CALLS = 20_000;
const ROUNDS = 7;

const built = (name: string): string => new URL(`../packages/${name}/dist/index.js`, import.meta.url).href;
const { createPool } = (await import(built('core'))) as typeof core;
const { createInspector } = (await import(built('inspector'))) as typeof inspectors;

const pool = createPool({ filename: ':memory:' });
const withoutUs = await perCall();
const inspector = createInspector({ pool });
const withUs = await perCall();

// As much as the page ever has: every text that the inspector remembers, and five minutes.
for (let text = 0; text < TEXTS; text += 1)
  await pool.get(`SELECT ${String(text)}, 'a statement of a usual length', ?`, [1]);
const later = createInspector({ pool, now: clock() });
for (let second = 0; second < 300; second += 1)
  for (let call = 0; call < 5; call += 1) await pool.get('SELECT 1');

/** A clock that goes on by a second at each fifth call, so that five minutes need no five minutes. */
function clock(): () => number {
  let [calls, at] = [0, Date.now()];
  return () => {
    calls += 1;
    if (calls % 10 === 0) at += 1000;
    return at;
  };
}

const server = createServer(later.listener).listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/state.json`;

const bare = await cpuOf(() => Promise.resolve({ body: '' }));
const { cpu: cpuOfHandle, bytes } = await cpuOf(() =>
  later.handle({
    method: 'GET',
    path: `/state.json?after=${String(Math.floor(Date.now() / 1000) - 2)}`,
    headers: {},
  }),
);
const whole = await cpuOf(() => later.handle({ method: 'GET', path: '/state.json', headers: {} }));
const http = await cpuOf(async () => ({ body: await (await fetch(url)).text() }));

console.table({
  'an answer of a page that is open': row(cpuOfHandle - bare.cpu, bytes),
  'the first answer, with five minutes': row(whole.cpu - bare.cpu, whole.bytes),
  'the same over HTTP, with its client in this process': row(http.cpu - bare.cpu, http.bytes),
});
console.table({ 'a call of get()': { 'without, µs': withoutUs, 'with the inspector, µs': withUs } });

inspector.close();
later.close();
server.close();
await pool.close();

function row(cpuMs: number, size: number): object {
  return {
    'CPU, ms': Number(cpuMs.toFixed(3)),
    [`share of a core at ${String(POLLS_PER_SECOND)} a second`]: `${((cpuMs * POLLS_PER_SECOND) / 10).toFixed(2)} %`,
    KiB: Math.round(size / 1024),
  };
}

/** The CPU time of one answer in milliseconds, of all threads of this process. */
async function cpuOf(
  answer: () => Promise<{ readonly body: string }>,
): Promise<{ cpu: number; bytes: number }> {
  let bytes = 0;
  for (let poll = 0; poll < POLLS / 10; poll += 1) await answer();
  const before = process.cpuUsage();
  for (let poll = 0; poll < POLLS; poll += 1) ({ length: bytes } = (await answer()).body);
  const { user, system } = process.cpuUsage(before);
  return { cpu: (user + system) / 1000 / POLLS, bytes };
}

/** The time of a read of one row, in microseconds: the best of some rounds. */
async function perCall(): Promise<number> {
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round += 1) {
    const since = performance.now();
    for (let call = 0; call < CALLS; call += 1) await pool.get('SELECT 1');
    best = Math.min(best, ((performance.now() - since) / CALLS) * 1000);
  }
  return Number(best.toFixed(2));
}
