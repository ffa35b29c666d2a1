import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { SQLD } from '../../../../../conformance/libsql-server.ts';
import { serverOf, WIRES } from './servers.ts';

const SOURCES = fileURLToPath(new URL('../../../src', import.meta.url));

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl)
  console.warn('The tests of TLS are skipped: there is no openssl to make a certificate with.');

/** What a process of its own prints. */
async function outputOf(
  child: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const path = fileURLToPath(new URL(`children/${child}.ts`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [path, ...args], {
    env: { ...process.env, ...env },
  });
  return stdout;
}

async function oneRead(
  source: string,
  url: string,
  env?: Readonly<Record<string, string>>,
): Promise<unknown> {
  return JSON.parse(await outputOf('one-read', [source, url], env)) as unknown;
}

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

describe.skipIf(SQLD === undefined).for(WIRES)(
  'a process with idle connections to a libSQL server, over %s',
  (wire) => {
    test('ends by itself', async () => {
      const server = await serverOf();
      // Not after a time-out of the connections.
      expect(Number(await outputOf('idle', [server.urlOf(wire)]))).toBeLessThan(1000);
    });
  },
);

test('without the ws package the open says how to install it', async () => {
  const directory = await temporaryDirectory();
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
  await cp(SOURCES, join(directory, 'src'), { recursive: true });
  const env = { npm_config_user_agent: 'npm/12.2.2' };
  expect(await oneRead(join(directory, 'src'), 'ws://127.0.0.1:1', env)).toMatchObject({
    code: 'DRIVER_MISSING',
    message: 'The ws package is not installed. Run: npm install ws',
    cause: expect.stringContaining("Cannot find package 'ws'") as unknown,
  });
  // HTTP needs no package: there is only no server.
  expect(await oneRead(join(directory, 'src'), 'http://127.0.0.1:1', env)).toMatchObject({
    code: 'OPEN_FAILED',
  });
});

describe.skipIf(SQLD === undefined || !hasOpenssl).for(['wss', 'https', 'libsql'])(
  'a server behind TLS, over %s',
  (protocol) => {
    test('is read where its certificate is trusted, and refused where it is not', async () => {
      const directory = await temporaryDirectory();
      const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
      await promisify(execFile)('openssl', [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '1',
        ],
        ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'],
        ...['-keyout', key, '-out', certificate],
      ]);
      const port = await tlsBefore((await serverOf()).port, await readFile(key), await readFile(certificate));
      const url = `${protocol}://127.0.0.1:${String(port)}`;
      expect(await oneRead(SOURCES, url, { NODE_EXTRA_CA_CERTS: certificate })).toEqual({ n: 1 });
      const refused = await oneRead(SOURCES, url);
      expect(refused).toMatchObject({ code: 'OPEN_FAILED' });
      expect(JSON.stringify(refused)).toContain('self-signed certificate');
    });
  },
);

/** Ends TLS and passes on what is in it. */
async function tlsBefore(port: number, key: Buffer, cert: Buffer): Promise<number> {
  const proxy = createServer({ key, cert }, (client) => {
    const server = connect(port, '127.0.0.1');
    client.pipe(server).pipe(client);
    client.on('error', () => server.destroy());
    server.on('error', () => client.destroy());
  });
  onTestFinished(() => void proxy.close());
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return (proxy.address() as AddressInfo).port;
}
