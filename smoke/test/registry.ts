import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const PACKAGES = join(import.meta.dirname, '..', '..', 'packages');

/** A registry with nothing but the packages of this workspace, as they would be published. */
export interface Registry {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** What a registry says of a package. */
interface Published {
  readonly document: (url: string) => object;
  readonly tarball: Buffer;
}

/** Packs every package with `pnpm`, which puts versions in the place of `workspace:`, and serves the tarballs on 127.0.0.1. */
export async function startRegistry(pnpm: string): Promise<Registry> {
  const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-registry-'));
  const packages = new Map<string, Published>();
  for (const name of await readdir(PACKAGES)) {
    const published = await pack(pnpm, join(PACKAGES, name), join(directory, name));
    packages.set(`@sqlite-pool/${name}`, published);
  }
  await rm(directory, { recursive: true });
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1);
    const [name = '', isTarball] = path.endsWith('/tarball') ? [path.slice(0, -8), true] : [path];
    const found = packages.get(name);
    if (found === undefined) response.writeHead(404).end('{}');
    else if (isTarball) response.end(found.tarball);
    else response.setHeader('content-type', 'application/json').end(JSON.stringify(found.document(url)));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return {
    url,
    close: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

async function pack(pnpm: string, folder: string, destination: string): Promise<Published> {
  await run(pnpm, ['pack', '--pack-destination', destination], { cwd: folder });
  const [file = ''] = await readdir(destination);
  const tarball = await readFile(join(destination, file));
  const { stdout } = await run('tar', ['-xzOf', join(destination, file), 'package/package.json']);
  const manifest = JSON.parse(stdout) as { name: string; version: string };
  const { name, version } = manifest;
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  return {
    tarball,
    document: (url) => ({
      name,
      'dist-tags': { latest: version },
      // Package managers may refuse what is new.
      time: { created: LONG_AGO, modified: LONG_AGO, [version]: LONG_AGO },
      versions: { [version]: { ...manifest, dist: { integrity, tarball: `${url}/${name}/tarball` } } },
    }),
  };
}

const LONG_AGO = '2026-01-01T00:00:00.000Z';
