import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type BrowserContext } from 'playwright-core';

/** Where Debian, Ubuntu, Fedora and macOS have it. */
const PLACES = [
  process.env['CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** The path of a Chromium on this machine; `undefined` if there is none. */
export const CHROMIUM: string | undefined = PLACES.find((path) => path !== '' && existsSync(path));

/** Starts Chromium with a profile of its own, which it removes at the end. It connects to nothing but the test. */
export async function startChromium(
  options: Parameters<typeof chromium.launchPersistentContext>[1] = {},
): Promise<{ readonly context: BrowserContext; readonly stop: () => Promise<void> }> {
  if (CHROMIUM === undefined) throw new Error('There is no Chromium on this machine.');
  const profile = await mkdtemp(join(tmpdir(), 'inspector-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...options,
  });
  const stop = async (): Promise<void> => {
    await context.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { context, stop };
}
