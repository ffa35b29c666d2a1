import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createPool } from '@sqlite-pool/core';
import { RequestLease } from '@sqlite-pool/core/plugin';
import axe from 'axe-core';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { basicAuth, createInspector, type InspectorOptions } from '../src/index.ts';
import { CHROMIUM, startChromium } from './chromium.ts';
import { FakePool } from './fake-pool.ts';

if (CHROMIUM === undefined)
  console.log('No Chromium: the tests of the page are skipped. Set CHROMIUM to its path.');

/** The machine may be busy. */
const PATIENT = { timeout: 10_000 };

const HOSTILE = `<img src=x onerror="window.pwned=1"></script><script>window.pwned=2</script><svg onload=window.pwned=3>`;

/** Serves the page until the end of the test, and returns its URL. */
async function serve(
  options: InspectorOptions,
  change?: (listener: RequestListener) => RequestListener,
): Promise<string> {
  const inspector = createInspector(options);
  const listener: RequestListener = (request, response) => inspector.listener(request, response);
  const server = createServer(change?.(listener) ?? listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    inspector.close();
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`;
}

/** A pool in which much happens. */
function busyPool(): FakePool {
  const pool = new FakePool();
  const free = {
    lease: undefined,
    query: undefined,
    inTransaction: false,
    holdsWriteLock: false,
    reading: undefined,
  };
  const request = { id: 'req-1', route: 'POST /orders' };
  const query = { sql: 'UPDATE stock SET count = 1', method: 'run', phase: 'running', request, ageMs: 3 };
  pool.stats = {
    size: 3,
    idle: 1,
    leased: 2,
    waiting: 1,
    writersWaiting: 1,
    writerHeld: true,
    walBytes: 90_000_000,
  };
  pool.inspection.connections = [
    { ...free, id: 1, state: 'idle' },
    {
      ...free,
      id: 2,
      state: 'leased',
      lease: { request, heldMs: 12, stack: 'at app.js:1' },
      query,
      holdsWriteLock: true,
      inTransaction: true,
    },
    {
      ...free,
      id: 3,
      state: 'leased',
      lease: { request: { id: 'req-2', route: 'GET /export' }, heldMs: 65_000, stack: undefined },
      reading: 'an open cursor',
    },
  ];
  return pool;
}

/** Calls that have ended and calls that wait. They come after the inspector. */
function work(pool: FakePool): void {
  for (let call = 0; call < 20; call += 1)
    pool.query({ sql: 'SELECT * FROM users WHERE id = ?', durationMs: 1 });
  pool.query({ sql: 'SELECT * FROM posts', durationMs: 900 });
  for (let write = 0; write < 4; write += 1)
    pool.query({ sql: 'INSERT INTO notes VALUES (?)', kind: 'write', groupSize: 4, durationMs: 2 });
  pool.begin({
    sql: 'DELETE FROM notes',
    kind: 'write',
    phase: 'locking',
    request: { id: 'req-3', route: 'DELETE /notes' },
  });
  pool.acquire({ id: 'req-4', route: 'GET /lost' })('ACQUIRE_TIMEOUT');
  pool.evict('idle');
}

describe.skipIf(CHROMIUM === undefined)('the page, in Chromium,', () => {
  let context: BrowserContext;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    ({ context, stop } = await startChromium());
  }, 60_000);
  afterAll(() => stop());

  /** What the page should not have said. */
  let complaints: string[];
  beforeEach(() => {
    complaints = [];
  });

  async function open(url: string, prepare?: (page: Page) => Promise<void>): Promise<Page> {
    const page = await context.newPage();
    await prepare?.(page);
    onTestFinished(() => page.close());
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => complaints.push(dialog.message()));
    await page.goto(url);
    await page.locator('#status[data-state=live]').waitFor();
    return page;
  }

  async function textOf(page: Page, selector: string): Promise<string> {
    return (await page.locator(selector).innerText()).replaceAll(/\s+/g, ' ');
  }

  it('works under its own policy without a word in the console, in light and dark', async () => {
    const pool = busyPool();
    const page = await open(await serve({ pool }));
    work(pool);
    await page.getByRole('button', { name: /SELECT users/ }).click();
    await page.getByText('SCAN users').waitFor();
    const light = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await page.evaluate('getComputedStyle(document.body).backgroundColor')).not.toBe(light);
    expect(complaints).toEqual([]);
  });

  it('shows who holds what, who waits, and who writes', async () => {
    const pool = busyPool();
    const page = await open(await serve({ pool }));
    work(pool);
    await page.getByText('INSERT notes').waitFor();
    expect(await textOf(page, '#use')).toContain('2 of 10');
    expect(await textOf(page, '#writer')).toMatch(/POST \/orders for 12 ms · 1 behind/);
    expect(await textOf(page, '#wal')).toMatch(/86 MiB .*an open cursor of GET \/export keeps it, 1 min 5 s/);
    expect(await textOf(page, '#connections')).toMatch(
      /#2 in use write lock transaction POST \/orders req-1 .*12 ms UPDATE stock/,
    );
    expect(await textOf(page, '#waiters')).toMatch(/the write lock DELETE \/notes req-3/);
    expect(await textOf(page, '#groups')).toMatch(/3–4 4 100 %/);
    expect(await textOf(page, '#events')).toContain(
      'A wait for a connection failed: ACQUIRE_TIMEOUT GET /lost req-4',
    );
    expect(await textOf(page, '#idle')).toBe('1 idle: #1');
  });

  it('shows the route of a lease within two seconds of its acquire', async () => {
    const pool = createPool({ filename: ':memory:' });
    onTestFinished(() => pool.close());
    const page = await open(await serve({ pool }));
    const request = { id: 'req-7', route: 'GET /users/:id' };
    const db = new RequestLease(pool, {
      mode: 'request',
      disconnectGraceMs: 1000,
      method: 'GET',
      request: () => request,
    });
    await db.connection(async (connection) => {
      await connection.get('SELECT 1');
      const acquired = Date.now();
      await page.locator('#connections').getByText('GET /users/:id').waitFor({ timeout: 2000 });
      expect(Date.now() - acquired).toBeLessThan(2000);
      expect(await textOf(page, '#use')).toContain('1 of 1');
    });
    db.respond();
    await page.getByText('1 idle: #1').waitFor();
  });

  it('keeps hostile names of routes, statements and pools as texts', async () => {
    const pool = busyPool();
    const request = { id: HOSTILE, route: `GET /${HOSTILE}` };
    pool.inspection.poolName = HOSTILE;
    const [, busy] = pool.inspection.connections;
    pool.inspection.connections = [
      { ...busy!, lease: { request, heldMs: 1, stack: HOSTILE }, query: { ...busy!.query!, sql: HOSTILE } },
    ];
    pool.explain = () => Promise.resolve([{ id: 1, parent: 0, detail: HOSTILE }]);
    const page = await open(await serve({ pools: [pool, new FakePool()] }));
    pool.query({ sql: `SELECT '${HOSTILE}'`, request });
    pool.begin({ sql: HOSTILE, phase: 'waiting', request });
    pool.acquire(request)(HOSTILE);
    pool.evict(HOSTILE);
    await page.locator('.open').click();
    await page.locator('.plan li').waitFor();
    for (const place of [
      '#connections .route',
      '#connections code',
      '#waiters code',
      '#statements code',
      '.plan',
      '#events .text >> nth=0',
      '#name',
    ]) {
      expect(await page.locator(place).textContent()).toContain(HOSTILE);
    }
    expect(
      await page.evaluate('document.querySelectorAll("img, svg[onload], body script ~ script").length'),
    ).toBe(0);
    expect(await page.evaluate('window.pwned')).toBeUndefined();
    expect(complaints).toEqual([]);
  });

  it('shows the plan of a statement, by the keyboard too, and keeps it open while it polls', async () => {
    const pool = busyPool();
    const page = await open(await serve({ pool }));
    work(pool);
    const statement = page.getByRole('button', { name: /SELECT users/ });
    await statement.focus();
    await page.keyboard.press('Enter');
    await page.getByText('SCAN users').waitFor();
    expect(await statement.getAttribute('aria-expanded')).toBe('true');
    pool.query({ sql: 'SELECT * FROM users WHERE id = ?', durationMs: 1 });
    await page.getByRole('cell', { name: '21', exact: true }).waitFor();
    expect(await page.getByText('SCAN users').isVisible()).toBe(true);
    expect(await page.evaluate('document.activeElement.textContent')).toContain('SELECT users');
    await page.keyboard.press('Enter');
    expect(await page.getByText('SCAN users').isVisible()).toBe(false);
  });

  it('sorts the statements by the keyboard', async () => {
    const pool = busyPool();
    const page = await open(await serve({ pool }));
    work(pool);
    const names = page.locator('#statements tbody b');
    await expect
      .poll(() => names.allInnerTexts(), PATIENT)
      .toEqual(['SELECT posts', 'SELECT users', 'INSERT notes']);
    await page.getByRole('button', { name: 'Calls' }).focus();
    await page.keyboard.press('Space');
    await expect
      .poll(() => names.allInnerTexts(), PATIENT)
      .toEqual(['SELECT users', 'INSERT notes', 'SELECT posts']);
    expect(await page.getByRole('columnheader', { name: 'Calls' }).getAttribute('aria-sort')).toBe(
      'descending',
    );
    expect(await page.locator('[aria-sort]').count()).toBe(1);
  });

  it('draws the last minutes, and says the values of a second at the pointer', async () => {
    let offset = 0;
    const pool = busyPool();
    const inspected = { pool, now: (): number => Date.now() + offset };
    const url = await serve(inspected);
    work(pool);
    offset = 120_000;
    const page = await open(url);
    const svg = page.locator('#throughput svg');
    expect(await page.locator('#throughput .line.first').getAttribute('d')).toMatch(/^M\d+ [\d.]+L/);
    expect(await svg.getAttribute('aria-label')).toMatch(
      /^calls and errors in the last five minutes: .*highest/,
    );
    const { width = 0 } = (await svg.boundingBox()) ?? {};
    await svg.hover({ position: { x: width - 2, y: 20 } });
    expect(await textOf(page, '#throughput .readout')).toMatch(/^\d\d:\d\d:\d\d: 0 calls$/);
  });

  it('asks for data each second, and neither while it is hidden nor while it is paused', async () => {
    const url = await serve({ pool: new FakePool() });
    const page = await open(url, (made) => made.clock.install());
    let polls = 0;
    page.on('request', () => (polls += 1));
    const after = async (ms: number): Promise<number> => {
      await page.clock.runFor(ms);
      return polls;
    };
    await expect.poll(() => after(1000), PATIENT).toBeGreaterThanOrEqual(3);
    const become = (state: string): Promise<unknown> =>
      page.evaluate(`Object.defineProperty(document, 'visibilityState', { value: '${state}', configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));`);
    await become('hidden');
    // The one that was planned before.
    const hidden = await after(60_000);
    expect(await after(60_000)).toBe(hidden);
    await become('visible');
    await expect.poll(() => after(1000), PATIENT).toBeGreaterThan(hidden + 1);
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.click();
    expect(await textOf(page, '#status')).toBe('Paused');
    const before = polls;
    expect(await after(60_000)).toBe(before);
    await pause.click();
    await page.locator('#status[data-state=live]').waitFor();
    expect(polls).toBe(before + 1);
  });

  it('says that the server does not answer, and goes on when it does', async () => {
    let fails = false;
    const url = await serve({ pool: new FakePool() }, (listener) => (request, response) => {
      if (fails) response.destroy();
      else listener(request, response);
    });
    const page = await open(url);
    fails = true;
    await page.locator('#status[data-state=lost]').waitFor();
    expect(await textOf(page, '#status')).toBe('No answer');
    fails = false;
    await page.locator('#status[data-state=live]').waitFor();
  });

  it('works behind a password', async () => {
    const url = await serve({ pool: new FakePool(), auth: basicAuth('admin', 'secret') });
    const refused = await context.request.get(url);
    expect(refused.status()).toBe(401);
    const { context: signedIn, stop: end } = await startChromium({
      httpCredentials: { username: 'admin', password: 'secret' },
    });
    onTestFinished(end);
    const page = await signedIn.newPage();
    await page.goto(url);
    await page.locator('#status[data-state=live]').waitFor();
  });

  it('lets its reader choose between pools, and keeps the choice', async () => {
    const [app, audit] = [busyPool(), new FakePool()];
    audit.inspection.poolName = 'audit';
    const page = await open(await serve({ pools: [app, audit] }));
    await page.getByRole('combobox', { name: 'Pool' }).selectOption('audit');
    await expect.poll(() => textOf(page, '#use'), PATIENT).toContain('0 of 10');
    await page.reload();
    await expect.poll(() => page.title(), PATIENT).toBe('audit · sqlite-pool');
  });

  it.each([
    ['in light', 'light', 1280],
    ['in dark', 'dark', 1280],
    ['on a narrow screen', 'light', 320],
    ['of a pool that does nothing', 'light', 1280],
  ] as const)('has nothing that axe finds, %s', async (title, colorScheme, width) => {
    const pool = title.includes('nothing') ? new FakePool() : busyPool();
    const page = await open(await serve({ pools: [pool, new FakePool()] }));
    await page.setViewportSize({ width, height: 800 });
    await page.emulateMedia({ colorScheme });
    if (!title.includes('nothing')) {
      work(pool);
      await page.getByRole('button', { name: /SELECT users/ }).click();
      await page.getByText('SCAN users').waitFor();
    }
    // A script tag would break the policy of the page.
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
    expect(
      violations.map(({ id, impact, nodes }) => ({ id, impact, html: nodes.map(({ html }) => html) })),
    ).toEqual([]);
  });

  it('fits a screen of 320 pixels', async () => {
    const pool = busyPool();
    const page = await open(await serve({ pool }));
    await page.setViewportSize({ width: 320, height: 640 });
    work(pool);
    pool.query({
      sql: `SELECT ${'a_long_name_of_a_column_'.repeat(20)}`,
      request: { id: 'x'.repeat(200), route: `GET /${'y'.repeat(300)}` },
    });
    pool.begin({
      sql: 'SELECT 1',
      phase: 'waiting',
      request: { id: 'x'.repeat(200), route: `GET /${'y'.repeat(300)}` },
    });
    await page.getByRole('button', { name: /a_long_name/ }).click();
    await page.locator('.plan li').waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(320);
    const outside = `[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > 320.5).map((one) => one.outerHTML.slice(0, 100))`;
    expect(await page.evaluate(outside)).toEqual([]);
    expect(await textOf(page, '#waiters')).toContain('the write lock DELETE /notes req-3');
  });
});
