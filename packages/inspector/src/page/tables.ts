import type { ConnectionState, EventState, Origin, PoolState, Waiter } from '../state.ts';
import {
  bodyOf,
  byId,
  cell,
  element,
  inside,
  list,
  row,
  rowHeading,
  setAttribute,
  setText,
  type Rows,
} from './dom.ts';
import { ageOf } from './figures.ts';
import { bytes, count, counted, duration, oneLine, percent, timeOf } from './format.ts';

/** Every table but that of the statements. */
export function showTables(pool: PoolState): void {
  showConnections(pool);
  showWaiters(pool);
  showGroups(pool);
  showCounters(pool);
  showLimits(pool);
  fill('pragmas', pool.facts.pragmas, PAIRS);
  note('pragma-note', pool.facts.note ?? '');
  fill('events', pool.events, EVENTS);
  note('no-events', pool.events.length === 0 ? 'Nothing has happened yet that is worth a line.' : '');
}

function fill<T>(table: string, items: readonly T[], rows: Rows<T>): void {
  // A table without rows is an error to a screen reader.
  byId(table).hidden = items.length === 0;
  list(bodyOf(byId(table)), items, rows);
}

function note(id: string, text: string): void {
  setText(byId(id), text);
  byId(id).hidden = text === '';
}

function showConnections({ connections, closed }: PoolState): void {
  const busy = connections.filter(({ state }) => state !== 'idle');
  const idle = connections.filter(({ state }) => state === 'idle').map(({ id }) => `#${String(id)}`);
  fill('connections', busy, CONNECTIONS);
  const names = idle.length > 12 ? `${idle.slice(0, 12).join(', ')} …` : idle.join(', ');
  if (closed) note('idle', 'The pool has closed.');
  else if (idle.length > 0) note('idle', `${count(idle.length)} idle: ${names}`);
  else note('idle', connections.length === 0 ? 'No connection is open.' : 'None is idle.');
}

const CONNECTIONS: Rows<ConnectionState> = {
  key: ({ id }) => String(id),
  create: ({ id }) => {
    const heading = rowHeading('Connection', `#${String(id)}`);
    heading.append(element('span', { class: 'tags' }));
    return row(heading, cell('Request', 'request'), cell('Held', 'number'), cell('Statement', 'sql'));
  },
  update: (made, connection) => {
    const { state, inTransaction, holdsWriteLock, reading, sql, phase, ageMs } = connection;
    const tags = [
      state === 'leased' ? 'in use' : state,
      ...(holdsWriteLock ? ['write lock'] : []),
      ...(inTransaction ? ['transaction'] : []),
      ...(reading === 'an open cursor' ? ['open cursor'] : []),
    ];
    list(inside(made, '.tags'), tags, TAGS);
    showRequest(made, connection.origin, connection.stack);
    const age = ageOf(connection);
    setText(inside(made, '.number'), age === null ? '–' : duration(age));
    const when = ageMs === null ? '' : ` ${duration(ageMs)}`;
    showStatement(made, sql, sql === null ? 'runs nothing now' : `${phase ?? ''}${when}`);
  },
};

const TAGS: Rows<string> = {
  key: (tag) => tag,
  create: (tag) => element('span', { class: 'tag', 'data-state': tag }, tag),
  update: () => undefined,
};

/** The route and the id of a request, and where it acquired its lease. */
function showRequest(made: HTMLElement, origin: Origin | null, stack: string | null): void {
  const target = inside(made, '.request');
  if (target.childElementCount === 0) {
    target.append(element('span', { class: 'route' }), ' ', element('span', { class: 'id' }));
  }
  setText(inside(target, '.route'), origin?.route ?? (typeof origin?.id === 'string' ? '' : '–'));
  setText(inside(target, '.id'), origin?.id ?? '');
  const details = target.querySelector('details');
  if (stack === null) details?.remove();
  else if (details === null) {
    target.append(element('details', {}, element('summary', {}, 'acquired at'), element('pre', {}, stack)));
  } else setText(inside(details, 'pre'), stack);
}

/** The text of a statement, and what is to be said of it. */
function showStatement(made: HTMLElement, sql: string | null, remark: string): void {
  const target = inside(made, '.sql');
  if (target.childElementCount === 0) target.append(element('code'), ' ', element('span', { class: 'id' }));
  setText(inside(target, 'code'), sql === null ? '' : oneLine(sql));
  setText(inside(target, '.id'), remark);
}

function showWaiters({ waiters, counts }: PoolState): void {
  fill(
    'waiters',
    waiters.shown.map((waiter, place) => ({ ...waiter, place })),
    WAITERS,
  );
  const total = Math.max(waiters.total, counts.waiting);
  const hidden = total - waiters.shown.length;
  if (total === 0) note('no-waiters', 'None.');
  else note('no-waiters', hidden > 0 ? `and ${count(hidden)} more` : '');
}

/** By its place: one waiter goes, and the next one is then the oldest. */
const WAITERS: Rows<Waiter & { readonly place: number }> = {
  key: ({ place }) => String(place),
  create: () =>
    row(rowHeading('Waits for'), cell('Request', 'request'), cell('Age', 'number'), cell('Statement', 'sql')),
  update: (made, waiter) => {
    setText(inside(made, 'th'), waiter.for);
    showRequest(made, waiter.origin, null);
    setText(inside(made, '.number'), duration(waiter.ageMs));
    showStatement(made, waiter.sql, waiter.sql === null ? waiter.what : '');
  },
};

type Size = PoolState['groups']['sizes'][number] & { readonly share: number };

function showGroups({ groups: { sizes, writes, commits } }: PoolState): void {
  const shares = sizes.map((size) => ({ ...size, share: writes === 0 ? 0 : size.writes / writes }));
  const last = shares.findLastIndex((size) => size.writes > 0);
  fill('groups', shares.slice(0, last + 1), GROUPS);
  const saved = `${counted(writes, 'single write')}, ${counted(commits, 'COMMIT')}.`;
  note('commits', writes === 0 ? 'No single write yet.' : saved);
}

const GROUPS: Rows<Size> = {
  key: ({ from }) => String(from),
  create: ({ from, to }) => {
    const range =
      to === null ? `${String(from)} and more` : from === to ? String(from) : `${String(from)}–${String(to)}`;
    const share = cell('Share', 'share');
    share.append(
      element('meter', { min: '0', max: '1', 'aria-label': `Share of ${range}` }),
      element('span'),
    );
    return row(rowHeading('Writes per COMMIT', range), cell('Writes', 'number'), share);
  },
  update: (made, { writes, share }) => {
    setText(inside(made, '.number'), count(writes));
    setAttribute(inside(made, 'meter'), 'value', String(share));
    setText(inside(made, '.share span'), percent(share));
  },
};

type Pair = readonly [name: string, value: string];

const PAIRS: Rows<Pair> = {
  key: ([name]) => name,
  create: ([name]) => row(rowHeading('', name), cell('', 'number')),
  update: (made, [, value]) => setText(inside(made, 'td'), value),
};

function showCounters({ counts, transactions }: PoolState): void {
  const { acquires, acquireTimeouts, opens, openFailures, leaks, wait, evictions } = counts;
  const { committed, rolledBack, unknown } = transactions;
  const retired = Object.entries(evictions)
    .filter(([, number]) => number > 0)
    .map(([reason, number]): Pair => [`Evicted: ${reason}`, count(number)]);
  fill(
    'counters',
    [
      ['Connections acquired', count(acquires)],
      ['Wait p50 / p95 / max', [wait.p50Ms, wait.p95Ms, wait.maxMs].map(duration).join(' / ')],
      ['Waits that timed out', count(acquireTimeouts)],
      ['Connections opened', count(opens)],
      ['Opens that failed', count(openFailures)],
      ...retired,
      ['Leases leaked', count(leaks)],
      ['Transactions committed', count(committed)],
      ['Transactions rolled back', count(rolledBack)],
      ...(unknown > 0 ? [['Transactions with an unknown end', count(unknown)] as const] : []),
    ],
    PAIRS,
  );
}

function showLimits({ limits }: PoolState): void {
  const number = (limit: number | null): string => (limit === null ? 'none' : count(limit));
  const time = (limit: number | null): string => (limit === null ? 'none' : duration(limit));
  const pairs: Pair[] = [
    ['poolSize', number(limits.poolSize)],
    ['minIdle', number(limits.minIdle)],
    ['maxWaiting', number(limits.maxWaiting)],
    ['acquireTimeoutMs', time(limits.acquireTimeoutMs)],
    ['statementTimeoutMs', time(limits.statementTimeoutMs)],
    ['maxLeaseMs', time(limits.maxLeaseMs)],
    ['walLimitBytes', limits.walLimitBytes === null ? 'none' : bytes(limits.walLimitBytes)],
  ];
  fill('limits', pairs, PAIRS);
}

const EVENTS: Rows<EventState> = {
  key: ({ id }) => String(id),
  create: ({ sql, isBad }) => {
    const event = cell('Event', isBad ? 'sql bad' : 'sql');
    event.append(element('span', { class: 'text' }), ' ', element('span', { class: 'id' }));
    if (sql !== null) event.append(element('code', {}, oneLine(sql)));
    return row(rowHeading('Time'), event, cell('Request', 'request'));
  },
  update: (made, { at, times, text, origin }) => {
    setText(inside(made, 'th'), timeOf(at));
    setText(inside(made, '.text'), text);
    setText(inside(made, '.sql .id'), times === 1 ? '' : `${count(times)} times`);
    if (origin !== null) showRequest(made, origin, null);
  },
};
