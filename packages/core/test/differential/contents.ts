import { openHandle, type Handle } from './alone.ts';

interface Table {
  readonly name: string;
  readonly type: 'table' | 'view' | 'virtual' | 'shadow';
  readonly wr: number;
}

/** The words that full-text tables are searched for. */
const WORDS = 'one OR two OR three';

/** Everything in a database file that a statement could have changed, as lines. */
export async function contentsOf(filename: string): Promise<string[]> {
  const handle = await openHandle(filename, 'sqlite3');
  try {
    const tables = await handle.all(
      // Statistics are written by the pool when it closes, and how an index is laid out in shadow tables depends on when it was committed.
      "SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow' AND name NOT LIKE 'sqlite_stat%' ORDER BY name",
    );
    const lines: string[] = [];
    for (const table of tables) lines.push(...(await rowsOf(handle, table as unknown as Table)));
    for (const pragma of ['integrity_check', 'foreign_key_check'])
      lines.push(...(await answer(handle, pragma, `PRAGMA ${pragma}`)));
    return lines;
  } finally {
    await handle.close();
  }
}

async function rowsOf(handle: Handle, { name, type, wr }: Table): Promise<string[]> {
  if (name === 'sqlite_schema')
    return await answer(
      handle,
      name,
      "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE tbl_name NOT LIKE 'sqlite_stat%' ORDER BY rowid",
    );
  const hasRowid = type !== 'view' && wr === 0;
  const lines = await answer(
    handle,
    name,
    `SELECT ${hasRowid ? 'rowid, ' : ''}${await columnsOf(handle, name)} FROM ${name} ORDER BY 1`,
  );
  if (type !== 'virtual') return lines;
  return [
    ...lines,
    ...(await answer(
      handle,
      `${name} by its words`,
      `SELECT rowid FROM ${name} WHERE ${name} MATCH '${WORDS}' ORDER BY rowid`,
    )),
    ...(await answer(
      handle,
      `${name}'s integrity`,
      `INSERT INTO ${name} (${name}) VALUES ('integrity-check')`,
    )),
  ];
}

/** Not those that are computed when they are read, which may fail. */
async function columnsOf(handle: Handle, table: string): Promise<string> {
  const columns = await handle.all(`SELECT name FROM pragma_table_xinfo('${table}') WHERE hidden IN (0, 3)`);
  return columns.map(({ name }) => `quote("${String(name)}")`).join(', ');
}

async function answer(handle: Handle, title: string, sql: string): Promise<string[]> {
  try {
    const rows = await handle.all(sql);
    return rows.map((row) => `${title}: ${JSON.stringify(Object.values(row))}`);
  } catch (error) {
    return [`${title}: ${String(error)}`];
  }
}
