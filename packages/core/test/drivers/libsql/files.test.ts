import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPool } from '../../../src/index.ts';
import { libsql } from '../../../src/drivers/libsql/libsql.ts';
import { Server, SQLD } from '../../../../../conformance/libsql-server.ts';
import { poolOf } from './servers.ts';

describe.skipIf(SQLD === undefined)('a database file', () => {
  test('moves to a libSQL server and back as docs/beyond-one-machine.md says', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const filename = join(directory, 'app.db');
    const before = createPool({ filename });
    await before.script(
      'CREATE TABLE t (n INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1.5), (2, NULL)',
    );
    await before.close();

    const server = await Server.prepare();
    onTestFinished(() => server.remove());
    const there = join(server.directory, 'dbs', 'default');
    await mkdir(there, { recursive: true });
    await copyFile(filename, join(there, 'data'));
    await writeFile(join(there, '.sentinel'), '');
    await server.start();
    const pool = poolOf(libsql({ url: server.url }));
    expect(await pool.all('SELECT * FROM t')).toEqual([
      { n: 1, v: 1.5 },
      { n: 2, v: null },
    ]);
    await pool.run("INSERT INTO t VALUES (3, 'at the server')");
    await pool.close();
    await server.stop('SIGTERM');

    const back = join(directory, 'back.db');
    await copyFile(join(there, 'data'), back);
    await copyFile(join(there, 'data-wal'), `${back}-wal`).catch(() => undefined);
    const after = createPool({ filename: back });
    expect(await after.all('SELECT * FROM t WHERE n > 1')).toEqual([
      { n: 2, v: null },
      { n: 3, v: 'at the server' },
    ]);
    expect(await after.get('PRAGMA integrity_check')).toEqual({ integrity_check: 'ok' });
    await after.close();
  });
});
