/**
 * Prints, as Markdown, how the cases for drivers go on each driver of core, and where the drivers differ. With `--write` it puts both
 * tables into docs/drivers.md, between their markers.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Connection, Driver, Pragmas, Value } from '../packages/core/dist/index.js';
import { libsql } from '../packages/core/dist/drivers/libsql/libsql.js';
import { sqlite3 } from '../packages/core/dist/drivers/sqlite3/sqlite3.js';
import { betterSqlite3 } from '../packages/core/dist/drivers/worker/better-sqlite3.js';
import { nodeSqlite } from '../packages/core/dist/drivers/worker/node-sqlite.js';
import { driverCases, type OpenDriver } from '../packages/core/dist/testing/index.js';
import { Server, SQLD } from './libsql-server.ts';

type Make = (options: { filename: string; pragmas?: Pragmas | false }) => Driver | Promise<Driver>;

/** A libSQL server stands for each file; nothing does for one whose directory is missing. */
const servers = new Map<string, Promise<Server>>();

async function atServer({ filename }: { filename: string }): Promise<Driver> {
  if (!existsSync(dirname(filename))) return libsql({ url: 'ws://127.0.0.1:1' });
  const path = resolve(dirname(filename), await readlink(filename).catch(() => filename));
  const server = servers.get(path) ?? Server.start();
  servers.set(path, server);
  return libsql({ url: (await server).url });
}

async function removeServers(): Promise<void> {
  for (const server of servers.values()) await (await server).remove();
  servers.clear();
}

const DRIVERS: Readonly<Record<string, Make>> = {
  'node:sqlite': nodeSqlite,
  'better-sqlite3': betterSqlite3,
  sqlite3,
  // Where there is no server for the platform, the tables are printed without it, and not written.
  ...(SQLD !== undefined && { 'libSQL server': atServer }),
};

const READ = { rowMode: 'object', readonly: true, returnsRows: true, effect: 'none' } as const;

async function shown(answer: () => Promise<unknown>): Promise<string> {
  try {
    const value = await answer();
    if (value instanceof Uint8Array) return value.constructor.name;
    return typeof value === 'bigint' ? `${String(value)}n` : JSON.stringify(value);
  } catch (error) {
    return `error: ${(error as Error).message.replaceAll('|', '\\|')}`;
  }
}

/** A question to a connection with the recommended PRAGMAs, and to one without any. */
const QUESTIONS: readonly {
  readonly what: string;
  readonly sql: string;
  readonly params?: readonly Value[];
  readonly bare?: true;
}[] = [
  { what: 'an integer beyond 2^53 that is read', sql: 'SELECT 9007199254740993 AS v' },
  {
    what: 'the same as a bigint that is bound',
    sql: 'SELECT CAST(? AS TEXT) AS v',
    params: [9007199254740993n],
  },
  { what: 'the smallest integer', sql: 'SELECT -9223372036854775808 AS v' },
  { what: '`1` that is bound', sql: 'SELECT typeof(?) AS v', params: [1] },
  { what: '`NaN` that is bound', sql: 'SELECT typeof(?) AS v', params: [Number.NaN] },
  { what: 'a blob that is read', sql: "SELECT x'00' AS v" },
  { what: 'text with a NUL', sql: 'SELECT length(CAST(? AS BLOB)) AS v', params: ['a\u0000b'] },
  { what: 'a word in double quotes that names no column', sql: 'SELECT "word" AS v' },
  { what: 'fewer values than parameters', sql: 'SELECT ? AS v' },
  {
    what: '`foreign_keys` without PRAGMAs',
    sql: 'SELECT foreign_keys AS v FROM pragma_foreign_keys',
    bare: true,
  },
  {
    what: '`trusted_schema` without PRAGMAs',
    sql: 'SELECT trusted_schema AS v FROM pragma_trusted_schema',
    bare: true,
  },
  { what: '`load_extension()` in SQL', sql: "SELECT load_extension('nothing') AS v" },
  { what: 'the version of SQLite', sql: 'SELECT sqlite_version() AS v' },
];

async function casesTable(): Promise<string> {
  const names = Object.keys(DRIVERS);
  const rows: string[][] = [];
  for (const [at, driverCase] of driverCases.entries()) {
    process.stderr.write(`\r${String(at + 1)} of ${String(driverCases.length)} cases`);
    const row = [driverCase.title];
    for (const make of Object.values(DRIVERS)) {
      const open: OpenDriver = (filename) => make({ filename });
      const { locks = 'file' } = await make({ filename: join(tmpdir(), 'none', 'app.db') });
      if (driverCase.locks !== undefined && driverCase.locks !== locks) {
        row.push('–');
        continue;
      }
      row.push(
        await driverCase.run(open).then(
          () => 'yes',
          () => '**no**',
        ),
      );
      await removeServers();
    }
    rows.push(row);
  }
  process.stderr.write('\n');
  return table(['case', ...names], rows);
}

async function differencesTable(directory: string): Promise<string> {
  const connections: [Connection, Connection][] = [];
  for (const [at, make] of Object.values(DRIVERS).entries()) {
    const filename = join(directory, `${String(at)}.db`);
    const [usual, without] = [await make({ filename }), await make({ filename, pragmas: false })];
    connections.push([await usual.open(), await without.open()]);
  }
  const rows: string[][] = [];
  for (const { what, sql, params = [], bare } of QUESTIONS) {
    const row = [what];
    for (const [usual, without] of connections) {
      const connection = bare ? without : usual;
      row.push(await shown(async () => (await connection.execute(sql, params, READ)).rows[0]?.['v']));
    }
    rows.push(row);
  }
  for (const pair of connections) for (const connection of pair) await connection.close();
  return table(['', ...Object.keys(DRIVERS)], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-drivers-'));
try {
  const tables = { cases: await casesTable(), differences: await differencesTable(directory) };
  console.log(`${tables.cases}\n\n${tables.differences}`);
  if (process.argv.includes('--write') && SQLD !== undefined) {
    const page = new URL('../docs/drivers.md', import.meta.url);
    let text = await readFile(page, 'utf8');
    for (const [name, content] of Object.entries(tables)) {
      const [begin, end] = [`<!-- drivers: ${name} -->`, `<!-- /drivers: ${name} -->`];
      const [before, after] = [text.split(begin)[0], text.split(end)[1]];
      if (before === undefined || after === undefined) throw new Error(`docs/drivers.md has no ${begin}.`);
      text = `${before}${begin}\n\n${content}\n\n${end}${after}`;
    }
    await writeFile(page, text);
  }
} finally {
  await removeServers();
  await rm(directory, { recursive: true, force: true });
}
