import { expect, test } from 'vitest';
import { libsql, type LibsqlOptions } from '../../../src/drivers/libsql/libsql.ts';
import { checkOptions } from '../../../src/options.ts';

const URL = 'ws://127.0.0.1:1';

function refusal(options: unknown): string {
  try {
    libsql(options as LibsqlOptions);
  } catch (error) {
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    return (error as Error).message;
  }
  throw new Error('The options were taken.');
}

test.for<[unknown, string]>([
  [undefined, 'must be an object'],
  [null, 'must be an object'],
  [{}, 'url must be a URL'],
  [{ url: 'app.db' }, 'url must be a URL'],
  [{ url: 'ftp://127.0.0.1' }, 'url must begin with one of'],
  [{ url: 'ws://hush@127.0.0.1' }, 'a user or a password'],
  [{ url: 'ws://:hush@127.0.0.1' }, 'a user or a password'],
  [{ url: `${URL}?authToken=hush` }, 'A token belongs in authToken'],
  [{ url: `${URL}#hush` }, 'A token belongs in authToken'],
  [{ url: URL, authToken: 7 }, 'authToken must be a string'],
  [{ url: URL, pingMs: 0 }, 'pingMs must be a number from 1'],
  [{ url: URL, connectTimeoutMs: '1' }, 'connectTimeoutMs must be a number'],
  [{ url: URL, bufferBytes: Number.NaN }, 'bufferBytes must be a number'],
  [{ url: URL, reads: 'replica' }, 'there are no replicas'],
  [{ url: URL, reads: 'nearest' }, "reads must be 'primary' or 'replica'"],
  [{ url: URL, replicas: 'ws://127.0.0.1:2' }, 'replicas must be an array'],
  [{ url: URL, replicas: ['hush'] }, 'replicas must be a URL'],
  [{ url: URL, replicaWaitMs: 0 }, 'replicaWaitMs must be a number'],
  [{ url: URL, filename: 'app.db' }, 'Unknown option "filename" of libsql()'],
])('refuses %o', ([options, message]) => {
  expect(refusal(options)).toContain(message);
  expect(refusal(options)).not.toContain('hush');
});

test('names a server the same, however its address is written', async () => {
  const id = await libsql({ url: 'ws://db.example' }).databaseId?.();
  expect(await libsql({ url: 'WS://DB.EXAMPLE:80/' }).databaseId?.()).toBe(id);
  expect(await libsql({ url: 'ws://db.example/other' }).databaseId?.()).not.toBe(id);
  const secure = await libsql({ url: 'libsql://db.example' }).databaseId?.();
  expect(await libsql({ url: 'https://db.example:443' }).databaseId?.()).toBe(secure);
  expect(secure).not.toBe(id);
  expect(await libsql({ url: 'ws://db.example:81' }).databaseId?.()).not.toBe(id);
});

test('lets the pool leave out the health check of idle connections', () => {
  const driver = libsql({ url: URL });
  expect(checkOptions({ driver }).validateAfterIdleMs).toBe(Infinity);
  expect(checkOptions({ driver, validateAfterIdleMs: 100 }).validateAfterIdleMs).toBe(100);
});
