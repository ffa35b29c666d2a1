import { setTimeout } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../conformance/libsql-server.ts';
import { poolOf, serverOf, WIRES } from '../drivers/libsql/servers.ts';
import { Ledger } from './ledger.ts';
import { Network } from '../drivers/libsql/network.ts';

const PING_MS = 1000;
const LIMITS = { acquireTimeoutMs: 5000, operationTimeoutMs: 5000, poolSize: 6 };
/** No call takes longer: its wait for a connection, a dead peer, and a new connection. */
const LONGEST_MS = 5000 + 2 * PING_MS + 5000 + 1000;

describe.skipIf(SQLD === undefined)('a program whose server fails', () => {
  test.for(WIRES)(
    'learns the truth of each write when the server is killed again and again, over %s',
    async (wire) => {
      const server = await serverOf();
      const pool = poolOf(libsql({ url: server.urlOf(wire), pingMs: PING_MS }), LIMITS);
      const ledger = new Ledger(pool);
      await ledger.create();
      const gaps: number[] = [];
      await ledger.during(async () => {
        for (let round = 0; round < 20; round += 1) {
          await setTimeout(100 + Math.random() * 700);
          gaps.push(await restart(server, ledger, 'SIGKILL', 0));
        }
        gaps.push(await restart(server, ledger, 'SIGKILL', 7000));
        gaps.push(await restart(server, ledger, 'SIGTERM', 0));
        await server.freeze();
        await setTimeout(6000);
        server.thaw();
        await acknowledgedAfter(ledger, performance.now());
      });
      console.log(report(ledger), `longest gap ${String(Math.round(Math.max(...gaps)))} ms`);
      await ledger.check();
      expect(ledger.acknowledged).toBeGreaterThan(100);
      // A call over HTTP is under way for so short a time that none may be hit.
      if (wire === 'ws') expect(ledger.codes.get('OUTCOME_UNKNOWN')).toBeGreaterThan(0);
      // The pauses between two tries to connect are half a second at most.
      expect(Math.max(...gaps)).toBeLessThan(1000);
      expect(ledger.longestMs).toBeLessThan(LONGEST_MS);
      expect(pool.stats()).toMatchObject({ quarantined: 0 });
    },
  );

  test('learns the truth of each write when the network freezes, and nothing is done twice', async () => {
    const server = await serverOf();
    const network = await Network.to(server.port);
    const pool = poolOf(libsql({ url: network.url, pingMs: PING_MS, connectTimeoutMs: 1000 }), LIMITS);
    const ledger = new Ledger(pool);
    await ledger.create();
    await ledger.during(async () => {
      for (let round = 0; round < 4; round += 1) {
        await setTimeout(500);
        network.freeze();
        await setTimeout(round === 0 ? 500 : 3000);
        network.thaw();
        await acknowledgedAfter(ledger, performance.now());
        network.disconnect();
        await acknowledgedAfter(ledger, performance.now());
      }
    });
    console.log(report(ledger));
    await ledger.check();
    expect(ledger.codes.get('OUTCOME_UNKNOWN')).toBeGreaterThan(0);
    expect(ledger.longestMs).toBeLessThan(LONGEST_MS);
    expect(pool.stats()).toMatchObject({ quarantined: 0 });
  });
});

/** How long it takes from the moment the server is back until a write is acknowledged, in milliseconds. */
async function restart(
  server: Server,
  ledger: Ledger,
  signal: NodeJS.Signals,
  outageMs: number,
): Promise<number> {
  await server.stop(signal);
  await setTimeout(outageMs);
  await server.start();
  return await acknowledgedAfter(ledger, performance.now());
}

async function acknowledgedAfter(ledger: Ledger, moment: number): Promise<number> {
  await expect.poll(() => ledger.acknowledgedAt, { timeout: 15_000, interval: 5 }).toBeGreaterThan(moment);
  return ledger.acknowledgedAt - moment;
}

function report({ acknowledged, reads, codes, longestMs }: Ledger): string {
  return `${String(acknowledged)} writes, ${String(reads)} reads, longest call ${String(Math.round(longestMs))} ms, ${JSON.stringify(Object.fromEntries(codes))}`;
}
