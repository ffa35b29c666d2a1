import { expect, it } from 'vitest';
import { poolOf, temporaryFile } from './helpers.ts';

const TABLES = (schema: string): string =>
  `CREATE TABLE ${schema}.parent (id INTEGER PRIMARY KEY);
   CREATE TABLE ${schema}.child (p REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)`;

it.each(['temp', 'aux'])(
  'a deferred constraint of the schema %s is checked for each write',
  async (schema) => {
    const attached = await temporaryFile();
    const pool = poolOf({
      filename: await temporaryFile(),
      poolSize: 1,
      onConnect: async (connection) => {
        if (schema === 'aux') await connection.execute(`ATTACH '${attached}' AS aux`);
        await connection.script?.(TABLES(schema));
      },
    });
    await pool.run('CREATE TABLE t (x)');
    const writes = await Promise.allSettled([
      pool.run('INSERT INTO t VALUES (1)'),
      pool.run(`INSERT INTO ${schema}.child VALUES (7)`),
      pool.run(`INSERT INTO ${schema}.parent VALUES (7)`),
    ]);
    expect(writes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  },
);
