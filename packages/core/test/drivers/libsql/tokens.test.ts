import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { libsql, type LibsqlOptions } from '../../../src/drivers/libsql/libsql.ts';
import { SQLD, type Server } from '../../../../../conformance/libsql-server.ts';
import { failureOf, poolOf, serverOf, WIRES } from './servers.ts';

/** A token as libSQL wants it, signed with a key that the server knows, or does not. */
function tokenOf(key: KeyObject, claims: Readonly<Record<string, unknown>>): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'EdDSA', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${sign(null, Buffer.from(text), key).toString('base64url')}`;
}

const inAnHour = (): number => Math.floor(Date.now() / 1000) + 3600;

describe.skipIf(SQLD === undefined).for(WIRES)('a libSQL server that wants a token, over %s', (wire) => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const good = tokenOf(privateKey, { exp: inAnHour() });
  let server: Server;

  beforeEach(async () => {
    const { x = '' } = publicKey.export({ format: 'jwk' });
    server = await serverOf({ key: x });
  });

  const getOne = (authToken: LibsqlOptions['authToken']): Promise<unknown> =>
    poolOf(libsql({ url: server.urlOf(wire), authToken })).get('SELECT 1 AS n');

  test('shows none in the statistics of a pool', async () => {
    const pool = poolOf(libsql({ url: server.urlOf(wire), authToken: good }));
    await pool.get('SELECT 1');
    const shown = inspect([pool.stats(), pool], { depth: 10, showHidden: true });
    expect(shown).not.toContain(good);
    expect(shown).not.toContain(`:${String(server.port)}`);
  });

  test('takes a good one, which a function may give at each open', async () => {
    expect(await getOne(good)).toEqual({ n: 1 });
    expect(await getOne(() => good)).toEqual({ n: 1 });
    expect(await getOne(() => Promise.resolve(good))).toEqual({ n: 1 });
  });

  test.for([
    ['none', undefined],
    ['one of another key', tokenOf(generateKeyPairSync('ed25519').privateKey, { exp: inAnHour() })],
    ['one that has expired', tokenOf(privateKey, { exp: inAnHour() - 7200 })],
    ['what is no token', 'hush'],
  ] as const)('refuses %s, and no error shows it', async ([, token]) => {
    const error = await failureOf(getOne(token));
    expect(error).toMatchObject({ code: 'OPEN_FAILED', reason: 'not-permitted' });
    const shown = inspect(error, { depth: 10, showHidden: true });
    expect(shown).not.toContain(token ?? 'hush');
    expect(shown).not.toContain(`:${String(server.port)}`);
  });

  test('refuses what a function gives that is no text', async () => {
    expect(await failureOf(getOne(() => ''))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  test('gets another one before the last expires, on the connection that is there', async () => {
    let asked = 0;
    const authToken = (): string => {
      asked += 1;
      return tokenOf(privateKey, { exp: inAnHour() - (asked === 1 ? 3590 : 0) });
    };
    const pool = poolOf(libsql({ url: server.urlOf(wire), authToken }), { poolSize: 1 });
    for (let n = 0; n < 5; n += 1) expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
    expect(asked).toBe(2);
  });

  test('is not asked where the function fails that gives tokens', async () => {
    const cause = new Error('the vault is closed');
    const error = await failureOf(getOne(() => Promise.reject(cause)));
    expect(error).toMatchObject({ code: 'OPEN_FAILED', reason: 'not-permitted', cause });
  });

  test('does not let a token for reading write', async () => {
    const pool = poolOf(
      libsql({ url: server.urlOf(wire), authToken: tokenOf(privateKey, { exp: inAnHour(), a: 'ro' }) }),
    );
    expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
    const error = await failureOf(pool.run('CREATE TABLE t (n)'));
    // Over a WebSocket the server says nothing, and closes it.
    if (wire === 'ws') expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    else expect(error).toMatchObject({ sqliteCode: 'SQLITE_AUTH' });
    expect(await pool.get('SELECT 1 AS n')).toEqual({ n: 1 });
  });
});
