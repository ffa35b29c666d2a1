import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { examples, seededFile, temporaryFile } from './examples.ts';
import { get } from './http.ts';

describe.each(examples)('GET / of $name', ({ name, start }) => {
  let url: string;
  let html: string;
  let headers: Readonly<Record<string, string>>;

  beforeAll(async () => {
    const links = { comparison: 'http://127.0.0.1:1/compare?a="&b=<' };
    const server = await start(0, { filename: await seededFile() }, links);
    url = server.url;
    const response = await fetch(url);
    expect(response.status).toBe(200);
    html = await response.text();
    headers = Object.fromEntries(response.headers);
    return () => server.close();
  });

  it('is a page that says which framework and which pool run here', () => {
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(html).toContain(`<h1>${name} `);
    expect(html).toContain(`<dd>@sqlite-pool/${name.toLowerCase()}</dd>`);
    expect(html).toContain('<dt>Connections, at most</dt><dd>10</dd>');
  });

  it('allows one style, and no script, frame, form or address', () => {
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'/,
    );
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(html).not.toMatch(/<script|\s(style|on\w+)="/);
  });

  it('has links to each route, which answer with the status that it names', async () => {
    const links = [...html.matchAll(/<a href="(\/[^"]+)">GET [^<]+<\/a> <span class="[^"]+">(\d+)</g)];
    const paths = links.map(([, href]) => href!.replaceAll('&amp;', '&'));
    expect(paths).toEqual([
      '/users/1',
      '/posts/30',
      '/feed?limit=5',
      '/feed?limit=5&before=30',
      '/users/0',
      '/users/99999999',
    ]);
    const statuses = await Promise.all(paths.map(async (path) => (await get(url + path)).status));
    expect(statuses).toEqual(links.map(([, , status]) => Number(status)));
  });

  it('has commands for the routes that write, with ids that exist', async () => {
    const commands = [...html.matchAll(/<code>curl (\S+) --json '([^']+)'</g)];
    expect(commands).toHaveLength(2);
    for (const [, target, json] of commands) {
      expect(target).toMatch(new RegExp(`^${url}/posts/30/(comments|likes)$`));
      const headers = { 'content-type': 'application/json' };
      const body = json!.replaceAll('&quot;', '"');
      expect((await fetch(target!, { method: 'POST', headers, body })).ok).toBe(true);
    }
  });

  it('links to its inspector, which is there, and to the comparison, as a text', async () => {
    expect(html).toContain('<a href="/sqlite">');
    expect(html).toContain('<a href="http://127.0.0.1:1/compare?a=&quot;&amp;b=&lt;">');
    const inspector = await fetch(`${url}/sqlite`);
    expect(inspector.status).toBe(200);
    const { pool } = (await (await fetch(`${url}/sqlite/state.json`)).json()) as { pool: { name: string } };
    expect(pool.name).toBe('social.db');
  });

  it('says how to fill an empty database, and where the comparison is without a demo', async () => {
    const server = await start(0, { filename: await temporaryFile() });
    onTestFinished(() => server.close());
    const empty = await (await fetch(server.url)).text();
    expect(empty).toContain('The database is empty. <code>npx pnpm seed</code>');
    expect(empty).toContain('The comparison runs with <code>npx pnpm demo</code>');
  });
});
