/**
 * Makes the pictures of the README anew: `npx pnpm build && npx pnpm exec node packages/inspector/test/pictures/run.ts`. The
 * pool in them is made up, so that they show much and stay the same.
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInspector } from '@sqlite-pool/inspector';
import type { BrowserContext } from 'playwright-core';
import { startChromium } from '../chromium.ts';
import { FakePool } from '../fake-pool.ts';

const STATEMENTS = [
  ['SELECT id, name, created_at FROM users WHERE id = ?', 'read', 0.12],
  [
    'SELECT p.id, p.body, u.name FROM posts p JOIN users u ON u.id = p.author ORDER BY p.id DESC LIMIT 20',
    'read',
    2.4,
  ],
  ['INSERT INTO comments (post, author, body) VALUES (?, ?, ?)', 'write', 0.8],
  ['UPDATE stock SET count = count - 1 WHERE item = ? AND count > 0', 'write', 1.1],
  ["SELECT id, body FROM posts WHERE body LIKE '%' || ? || '%'", 'read', 38],
  ['INSERT INTO orders (user, total) VALUES (?, ?) RETURNING id', 'write', 0.9],
] as const;

let now = Date.UTC(2026, 0, 1, 12);
let seed = 1;
const random = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;

const pool = new FakePool();
pool.inspection.poolName = 'shop.db';
pool.inspection.database = 'shop.db';
const inspector = createInspector({ pool, now: () => now });
for (let second = 0; second < 300; second += 1) {
  now += 1000;
  const isBusy = second > 180 && second < 200;
  for (
    let calls = 60 + 50 * Math.sin(second / 25) + 40 * random() + (isBusy ? 140 : 0);
    calls > 0;
    calls -= 1
  ) {
    call((0.5 + 2 * random() ** 4) * (isBusy ? 4 : 1));
  }
}
addWhatIsNow();
await photograph();
inspector.close();

function call(slowness: number): void {
  const [sql, kind, ms] = STATEMENTS[Math.floor(random() ** 2 * STATEMENTS.length)] ?? STATEMENTS[0];
  const lockMs = kind === 'write' ? random() * 3 * slowness : 0;
  const groupSize = kind === 'write' ? Math.ceil(random() ** 3 * 12) : 1;
  const failed = random() < 0.002 ? { error: new Error(), errorCode: 'SQLITE_CONSTRAINT_UNIQUE' } : {};
  pool.query({ sql, kind, lockMs, groupSize, durationMs: ms * slowness + lockMs, ...failed });
}

function addWhatIsNow(): void {
  const origin = (id: string, route: string): { id: string; route: string } => ({ id: `req-${id}`, route });
  const free = {
    lease: undefined,
    query: undefined,
    inTransaction: false,
    holdsWriteLock: false,
    reading: undefined,
  };
  const query = (index: number, ageMs: number): object => ({
    sql: STATEMENTS[index]?.[0],
    method: 'all',
    phase: 'running',
    ageMs,
  });
  const leased = { ...free, state: 'leased' as const };
  const lease = (id: string, route: string, heldMs: number): object => ({
    request: origin(id, route),
    heldMs,
  });
  pool.stats = {
    size: 6,
    idle: 3,
    leased: 3,
    waiting: 1,
    writerHeld: true,
    writersWaiting: 3,
    walBytes: 41_300_000,
  };
  pool.inspection.connections = [
    { ...leased, id: 3, lease: lease('8x1', 'GET /export', 74_200), reading: 'an open cursor' },
    {
      ...leased,
      id: 4,
      lease: lease('8zt', 'POST /orders', 12.4),
      query: query(3, 0.6),
      inTransaction: true,
      holdsWriteLock: true,
    },
    { ...leased, id: 5, lease: lease('8zq', 'GET /feed', 3.3), query: query(1, 3.2) },
    ...[1, 2, 9].map((id) => ({ ...free, id, state: 'idle' as const })),
  ] as typeof pool.inspection.connections;
  for (const id of ['900', '901', '902']) {
    pool.begin({
      sql: STATEMENTS[2][0],
      kind: 'write',
      method: 'run',
      phase: 'locking',
      request: origin(id, 'POST /comments'),
    });
    now += 3;
  }
}

async function photograph(): Promise<void> {
  const server = createServer(inspector.listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { context, stop } = await startChromium({
    viewport: { width: 1240, height: 930 },
    locale: 'en-GB',
    timezoneId: 'UTC',
  });
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`);
  await page.locator('#statements tbody').first().waitFor();
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const path = new URL(`../../pictures/${colorScheme}.webp`, import.meta.url);
    await writeFile(path, await asWebp(context, await page.screenshot()));
  }
  await stop();
  server.closeAllConnections();
  server.close();
}

/** A PNG would be four times as large. Chromium can write WebP, and Playwright does not know that. */
async function asWebp(context: BrowserContext, png: Buffer): Promise<Buffer> {
  const blank = await context.newPage();
  const url = await blank.evaluate<string>(`(async () => {
    const image = new Image();
    image.src = 'data:image/png;base64,${png.toString('base64')}';
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', 0.9);
  })()`);
  await blank.close();
  return Buffer.from(url.slice(url.indexOf(',') + 1), 'base64');
}
