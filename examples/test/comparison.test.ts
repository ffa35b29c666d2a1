import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { basename, dirname } from 'node:path';

import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';

import { startComparison } from '../src/comparison/server.ts';
import type { ComparisonState, ContestantState, Way } from '../src/comparison/state.ts';
import type { RunningServer } from '../src/shared/server.ts';
import { seededFile, temporaryFile } from './examples.ts';

/** Machines are busy. */
const PATIENT = { timeout: 10_000 };

describe('the comparison', () => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startComparison(0, await seededFile());
  });
  afterAll(() => server.close());

  const stateOf = async (path: string, options?: RequestInit) => {
    const response = await fetch(server.url + path, options);
    expect(response.status).toBe(200);
    const state = (await response.json()) as ComparisonState;
    const by = (way: Way): ContestantState => state.contestants.find((one) => one.way === way)!;
    return { now: state.now, contestants: state.contestants, by };
  };
  const press = (name: string) => stateOf(`/${name}`, { method: 'POST', headers: { 'x-comparison': '1' } });

  it('is a page that runs its own style and script only', async () => {
    const response = await fetch(new URL('/', server.url));
    expect(response.url).toBe(server.url);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; /,
    );
    expect(await response.text()).toContain('<h1>Three ways to use SQLite in a server</h1>');
  });

  it('has figures of each contestant, from a load that begins by itself', async () => {
    const { contestants } = await vi.waitFor(async () => {
      const state = await stateOf('/state');
      for (const { reads } of state.contestants) expect(reads?.perSecond).toBeGreaterThan(10);
      return state;
    }, PATIENT);
    expect(contestants.map(({ way }) => way)).toEqual(['inline', 'each', 'pool']);
    for (const { reads, failed, clock } of contestants) {
      expect(reads!.p50).toBeGreaterThan(0);
      expect(reads!.p99).toBeGreaterThanOrEqual(reads!.p50);
      expect(failed).toBe(0);
      expect(clock.count).toBeGreaterThan(0);
    }
  });

  it('names what runs the statements', async () => {
    const { by } = await stateOf('/state');
    expect(by('inline').driver).toMatch(/^(better-sqlite3 \d+\.\d+\.\d+|node:sqlite)$/);
    expect(by('each').driver).toBe('node:sqlite');
    expect(by('pool').driver).toBe('@sqlite-pool/core on node:sqlite');
  });

  it('answers with the beats after a moment only', async () => {
    const { now } = await stateOf('/state');
    const { by } = await vi.waitFor(async () => {
      const state = await stateOf(`/state?since=${now}`);
      for (const { clock } of state.contestants) expect(clock.beats.length).toBeGreaterThan(2);
      return state;
    }, PATIENT);
    expect(Math.min(...by('pool').clock.beats.map(({ at }) => at))).toBeGreaterThan(now);
  });

  it('stops the event loop of the inline one with a 100 ms query, and not the one of the pool', async () => {
    // The first query may be too short, if the machine has become faster.
    await vi.waitFor(async () => {
      const { now } = await stateOf('/state');
      const { contestants, by } = await press('query');
      for (const { query } of contestants) expect(query!.ms).toBeGreaterThan(80);
      expect(by('inline').query!.stopMs).toBeGreaterThanOrEqual(80);
      expect(by('each').query!.stopMs).toBeLessThan(50);
      expect(by('pool').query!.stopMs).toBeLessThan(50);
      // The beat before the query may be older than the state.
      const { beats } = (await stateOf(`/state?since=${now - 1_000}`)).by('inline').clock;
      const gaps = beats.map(({ at }, index) => at - (beats[index - 1]?.at ?? at));
      expect(Math.max(...gaps)).toBeGreaterThanOrEqual(80);
    }, PATIENT);
  });

  it('counts which of 64 writers at once wrote, and which met a locked database', async () => {
    const { by } = await press('writers');
    const all = { written: 64, busy: 0 };
    expect(by('inline').writers).toMatchObject(all);
    expect(by('pool').writers).toMatchObject(all);
    expect(by('pool').busy).toBe(0);
    const { written, busy } = by('each').writers!;
    expect(written + busy).toBe(64);
    expect(by('each').busy).toBeGreaterThanOrEqual(busy);
  });

  it.each(['query', 'writers'])('does nothing when another site posts to /compare/%s', async (name) => {
    const before = await stateOf('/state');
    const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } };
    expect((await fetch(`${server.url}/${name}`, form)).status).toBe(403);
    const asked = await fetch(`${server.url}/${name}`, { method: 'OPTIONS' });
    expect(asked.status).toBe(404);
    expect(asked.headers.has('access-control-allow-origin')).toBe(false);
    const after = await stateOf('/state');
    expect(after.contestants.map((one) => one[name as 'query' | 'writers'])).toEqual(
      before.contestants.map((one) => one[name as 'query' | 'writers']),
    );
  });

  it('answers under its own name only', async () => {
    const status = await new Promise((resolve) =>
      request(server.url, { headers: { host: 'attacker.example' } }, (response) => {
        resolve(response.resume().statusCode);
      }).end(),
    );
    expect(status).toBe(403);
  });
});

describe('the contestants', () => {
  it('start with the first question and end some time after the last one, with their files', async () => {
    const file = await seededFile();
    const server = await startComparison(0, file, 200);
    onTestFinished(() => server.close());
    const files = () => readdir(dirname(file));
    expect(await files()).toEqual([basename(file)]);
    expect((await fetch(`${server.url}/state`)).status).toBe(200);
    expect(await files()).toHaveLength(2);
    await vi.waitFor(async () => expect(await files()).toEqual([basename(file)]), PATIENT);
    expect((await fetch(`${server.url}/state`)).status).toBe(200);
  });

  it('are asked for anew after they could not start', async () => {
    const server = await startComparison(0, await temporaryFile('missing.db'));
    onTestFinished(() => server.close());
    for (const _ of [1, 2]) {
      const response = await fetch(`${server.url}/state`);
      expect(response.status).toBe(500);
      expect(((await response.json()) as { message: string }).message).toContain('ENOENT');
    }
  });
});
