import axe from 'axe-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { CHROMIUM, startChromium } from '../../packages/inspector/test/chromium.ts';
import { startComparison } from '../src/comparison/server.ts';
import { startExpress } from '../src/express.ts';
import type { RunningServer } from '../src/shared/server.ts';
import { seededFile } from './examples.ts';

if (CHROMIUM === undefined)
  console.log('No Chromium: the tests of the pages are skipped. Set CHROMIUM to its path.');

describe.skipIf(CHROMIUM === undefined)('the pages, in Chromium,', () => {
  let comparison: RunningServer;
  let home: RunningServer;
  let browser: Awaited<ReturnType<typeof startChromium>>;
  /** What a page should not have said. */
  let complaints: string[];

  beforeAll(async () => {
    const file = await seededFile();
    comparison = await startComparison(0, file);
    home = await startExpress(0, { filename: await seededFile() }, { comparison: comparison.url });
    browser = await startChromium();
  }, 60_000);
  afterAll(async () => {
    await browser.stop();
    await home.close();
    await comparison.close();
  });
  beforeEach(() => {
    complaints = [];
  });

  async function open(width: number, colorScheme: 'light' | 'dark' = 'light') {
    const page = await browser.context.newPage();
    onTestFinished(() => page.close());
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`${home.url}/`);
    return page;
  }

  async function openComparison(...how: Parameters<typeof open>) {
    const page = await open(...how);
    await page.getByRole('link', { name: 'The comparison' }).click();
    await page.locator('#query:enabled').waitFor();
    return page;
  }

  const screens = [
    [1280, 'light'],
    [1280, 'dark'],
    [320, 'light'],
  ] as const;

  describe.each(screens)('%i pixels wide, in %s,', (width, colorScheme) => {
    it.each([
      ['the page of an example', open],
      ['the comparison', openComparison],
    ])('%s fits, and neither axe nor the console finds anything', async (_which, opened) => {
      const page = await opened(width, colorScheme);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      // A script tag would break the policy of the page.
      await page.evaluate(axe.source);
      const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
      expect(violations.map(({ id, nodes }) => ({ id, html: nodes.map(({ html }) => html) }))).toEqual([]);
      expect(complaints).toEqual([]);
    });
  });

  it('the comparison shows a stop of the event loop after a press of the key on a button', async () => {
    const page = await openComparison(1280);
    const strip = page.locator('[data-way=inline] .stands');
    await page.locator('#query').focus();
    await page.keyboard.press('Enter');
    await expect.poll(() => strip.getAttribute('d'), { timeout: 10_000 }).toMatch(/^M[\d.]+ 12H[\d.]+/);
    const status = page.locator('#status');
    await expect
      .poll(() => status.innerText(), { timeout: 10_000 })
      .toMatch(/inline: the event loop was blocked for \d/);
    expect(await page.locator('[data-way=pool] .stands').getAttribute('d')).toBe('');
    expect(await page.locator('#query').evaluate('document.activeElement.id')).toBe('query');
    expect(complaints).toEqual([]);
  });

  it('the comparison shows how many of 64 writers wrote', async () => {
    const page = await openComparison(320);
    await page.getByRole('button', { name: '64 writers' }).click();
    const pool = page.locator('[data-way=pool] [data-figure=writers]');
    await expect.poll(() => pool.innerText(), { timeout: 10_000 }).toMatch(/^64 written, 0 BUSY, in /);
    expect(complaints).toEqual([]);
  });

  it('the hands move with the event loops', async () => {
    const page = await openComparison(1280);
    const hand = page.locator('[data-way=pool] .hand');
    const angle = () => hand.getAttribute('transform');
    await expect.poll(angle, { timeout: 10_000 }).toMatch(/^rotate/);
    const first = await angle();
    await expect.poll(angle, { timeout: 10_000 }).not.toBe(first);
  });
});
