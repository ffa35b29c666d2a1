import type { Queryable, SqlitePool } from '@sqlite-pool/core';

import { sampleIds } from '../shared/queries.ts';
import { escape, page, type Page } from './page.ts';

/** Where else a reader can go. The demo knows these; an example that runs alone has none. */
export interface Links {
  /** The URL of the comparison. */
  readonly comparison?: string;
}

/** What an example says about itself. */
export interface About {
  readonly framework: 'Fastify' | 'Hono' | 'Express';
  /** The host and the port that the client used. */
  readonly host: string;
  readonly db: Queryable;
  readonly pool: SqlitePool;
  readonly links: Links;
}

/** `GET /` of each example: what runs here, and what to try. */
export async function homePage({ framework, host, db, pool, links }: About): Promise<Page> {
  const ids = await sampleIds(db);
  const name = framework.toLowerCase();
  return page({
    title: `${framework} on sqlite-pool`,
    body: `<header>
<h1>${framework} <span class="quiet">on sqlite-pool</span></h1>
<p>A small social API with users, posts, comments and likes. The whole application is <code>examples/src/${name}.ts</code>.</p>
</header>
<main>
${tryRoutes(host, ids)}
${goOn(links)}
${settings(`@sqlite-pool/${name}`, pool)}
</main>`,
  });
}

function tryRoutes(host: string, { user, post }: { user: number | null; post: number | null }): string {
  if (user === null || post === null)
    return `<section><h2>Try it</h2><p>The database is empty. <code>npx pnpm seed</code> in <code>examples</code> fills one.</p></section>`;
  const command = (path: string, body: object): string =>
    `<pre tabindex="0"><code>${escape(`curl http://${host}${path} --json '${JSON.stringify(body)}'`)}</code></pre>`;
  return `<section>
<h2>Try it</h2>
<ul class="routes">
${route(`/users/${user}`, 200, 'a user')}
${route(`/posts/${post}`, 200, 'a post with its author, its likes and its latest 20 comments')}
${route('/feed?limit=5', 200, 'the newest posts')}
${route(`/feed?limit=5&before=${post}`, 200, 'the posts before one of them')}
${route('/users/0', 400, 'an id that cannot be')}
${route('/users/99999999', 404, 'an id that does not exist')}
</ul>
<p>A comment, and a like, from a terminal:</p>
${command(`/posts/${post}/comments`, { userId: user, body: 'Hello' })}
${command(`/posts/${post}/likes`, { userId: user })}
</section>`;
}

function route(path: string, status: number, what: string): string {
  const kind = status === 200 ? 'good' : 'bad';
  return `<li><a href="${escape(path)}">GET ${escape(path)}</a> <span class="status ${kind}">${status}</span> <span>${what}</span></li>`;
}

function goOn({ comparison }: Links): string {
  const compare =
    comparison === undefined
      ? `<li>The comparison runs with <code>npx pnpm demo</code>, in the root of the repository.</li>`
      : `<li><a href="${escape(comparison)}">The comparison</a>: the same load on better-sqlite3 inline, on a connection each, and on the pool</li>`;
  return `<section><h2>Look at it</h2><ul class="routes">
<li><a href="/sqlite">The inspector</a>: who holds a connection, who waits, which statements are slow</li>
${compare}
</ul></section>`;
}

function settings(plugin: string, pool: SqlitePool): string {
  const { driver, database, limits } = pool.inspect();
  const rows: [string, string][] = [
    ['Plugin', plugin],
    ['Driver', driver],
    ...(database === undefined ? [] : [['Database', database] satisfies [string, string]]),
    ['Connections, at most', String(limits.poolSize)],
    ['Callers that may wait', String(limits.maxWaiting)],
    ['Longest wait', milliseconds(limits.acquireTimeoutMs)],
    ['Longest statement', milliseconds(limits.statementTimeoutMs)],
    ['Node.js', process.version],
  ];
  const cells = rows
    .map(([name, value]) => `<div><dt>${name}</dt><dd>${escape(value)}</dd></div>`)
    .join('\n');
  return `<section><h2>What runs here</h2><dl class="settings">
${cells}
</dl></section>`;
}

function milliseconds(value: number): string {
  return Number.isFinite(value) ? `${value} ms` : 'no limit';
}
