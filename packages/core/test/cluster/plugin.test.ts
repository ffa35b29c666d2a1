import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { libsql } from '../../src/drivers/libsql/libsql.ts';
import { pluginCases, type PluginApp, type StartPlugin } from '../../src/testing/index.ts';
import { Server, SQLD } from '../../../../conformance/libsql-server.ts';
import { everything, starter } from '../testing/plugin/every-ability.ts';

const TEMP = 'it makes a TEMP table';
const CHECKPOINT = 'it looks for open cursors with PRAGMA wal_checkpoint';
const WAL = 'it looks for the WAL beside the file';

/** What these use is refused by the server, or not there: the handler of the case cannot work. */
const FOR_FILES: ReadonlyMap<string, string> = new Map([
  ['shares the connection of a step before the handler with the handler', TEMP],
  ['F62 frees the connection of a handler of a child scope whose client leaves', TEMP],
  ['F62 frees the connection of a GET handler that never answers', TEMP],
  ['F62 frees the connection of a POST handler that never answers', TEMP],
  ['streams rows to their end, and closes the cursor', CHECKPOINT],
  ['F71 keeps nobody from writing while a cursor goes on, which sees nothing of it', CHECKPOINT],
  ...["'request'", "'statement'"].flatMap((mode): [string, string][] => [
    [`F62 closes the cursor of a body whose client leaves in mode ${mode}`, CHECKPOINT],
    [`F71 sends all rows of a cursor, those that the transaction wrote too, in mode ${mode}`, CHECKPOINT],
    [
      `F62 closes the cursor of a transaction that is over when its client leaves in mode ${mode}`,
      CHECKPOINT,
    ],
  ]),
  ['closes its own pool with the application, and leaves no WAL behind', WAL],
]);

const start = starter();

/** The same application with a server in the place of its file, which begins with what is in the file. */
const onServer: StartPlugin = async (app) => {
  const { filename, ...options } = app.options;
  if (filename === undefined) return await start(app);
  const url = existsSync(filename) ? (await serverFor(filename)).url : 'ws://127.0.0.1:1';
  // The rest of options that had a filename: what the type cannot say.
  const others = { ...options, driver: libsql({ url }) } as PluginApp['options'];
  return await start({ ...app, options: others });
};

async function serverFor(filename: string): Promise<Server> {
  const server = await Server.prepare();
  onTestFinished(() => server.remove());
  await server.fill(filename);
  await server.start();
  return server;
}

describe.skipIf(SQLD === undefined)('the cases for plugins, on a libSQL server', () => {
  for (const { group, title, run } of pluginCases) {
    const reason = FOR_FILES.get(title);
    // One that passes has its reason no longer.
    const itDoes = reason === undefined ? it : it.fails;
    itDoes(`${group}: ${title}${reason === undefined ? '' : `; it does not apply: ${reason}`}`, async () => {
      await expect(run(onServer)).resolves.toBeUndefined();
    });
  }

  it('leave out those that are about files, and no others', () => {
    const titles = pluginCases.map(({ title }) => title);
    expect(titles).toEqual(expect.arrayContaining([...FOR_FILES.keys()]));
  });

  it('are run with every ability that a case needs', () => {
    expect(everything).toEqual(expect.arrayContaining(pluginCases.flatMap(({ needs }) => [...needs])));
  });
});
