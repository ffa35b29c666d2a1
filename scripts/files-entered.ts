/**
 * Counts the files of core that one warm call enters, and its calls of functions: `node scripts/files-entered.ts`. Fewer files are a
 * shorter way for a reader. It says nothing of speed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '../packages/core/src/index.ts';
import { RequestLease } from '../packages/core/src/plugin.ts';

const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
const pool = createPool({ filename: join(directory, 'app.db') });
await pool.script('CREATE TABLE t (id INTEGER PRIMARY KEY, v)');

const response = {
  closed: false,
  headersSent: false,
  writableEnded: false,
  once: (): void => undefined,
  writeHead: (): void => undefined,
};

const CALLS: Readonly<Record<string, () => Promise<unknown>>> = {
  'pool.get()': () => pool.get('SELECT 1 AS one'),
  'pool.run()': () => pool.run('INSERT INTO t (v) VALUES (?)', ['a']),
  'request.db.get()': async () => {
    const db = new RequestLease(pool, {
      mode: 'request',
      disconnectGraceMs: 1000,
      method: 'GET',
      response,
    });
    await db.get('SELECT 1 AS one');
    db.respond();
  },
  '64 pool.run() at once': () =>
    Promise.all(Array.from({ length: 64 }, () => pool.run('INSERT INTO t (v) VALUES (?)', ['a']))),
};

const session = new Session();
session.connect();
await session.post('Profiler.enable');
const table: Record<string, Readonly<Record<'files' | 'outside drivers' | 'calls', number>>> = {};
for (const [name, call] of Object.entries(CALLS)) {
  for (let warm = 0; warm < 20; warm += 1) await call();
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  await session.post('Profiler.takePreciseCoverage');
  await call();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  await session.post('Profiler.stopPreciseCoverage');
  const entered = result
    .filter(({ url }) => url.includes('/packages/core/src/'))
    .map(({ url, functions }) => ({
      url: url.slice(url.indexOf('/src/') + 5),
      calls: functions.reduce((sum, { ranges }) => sum + (ranges[0]?.count ?? 0), 0),
    }))
    .filter(({ calls }) => calls > 0);
  table[name] = {
    files: entered.length,
    'outside drivers': entered.filter(({ url }) => !url.startsWith('drivers/')).length,
    calls: entered.reduce((sum, { calls }) => sum + calls, 0),
  };
  if (process.argv.includes('--files')) console.log(name, entered);
}
session.disconnect();
console.table(table);
await pool.close();
await rm(directory, { recursive: true });
