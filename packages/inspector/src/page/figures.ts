import type { ConnectionState, PoolState } from '../state.ts';
import { byId, element, inside, list, setAttribute, setText } from './dom.ts';
import { bytes, count, counted, duration, rate } from './format.ts';

/** A reader is worth a word when it keeps the WAL for this long. */
const LONG_READ_MS = 1000;

/** The row of figures at the top. */
export function showFigures(pool: PoolState): void {
  showUse(pool);
  showWaiting(pool);
  showWriter(pool);
  const { calls, errors, busyRetries, seconds, p50Ms, p95Ms } = pool.lastMinute;
  const over = seconds >= 60 ? 'last minute' : `last ${counted(seconds, 'second')}`;
  const trouble = [
    ...(errors > 0 ? [counted(errors, 'error')] : []),
    ...(busyRetries > 0 ? [`${count(busyRetries)} × busy`] : []),
  ];
  figure(
    'rate',
    rate(calls / Math.max(seconds, 1)),
    [over, ...trouble].join(' · '),
    errors > 0 ? 'warn' : '',
  );
  figure('latency', calls === 0 ? '–' : `${duration(p50Ms)} / ${duration(p95Ms)}`, `p50 / p95, ${over}`);
  showWal(pool);
}

function figure(id: string, value: string, detail: string, mood = ''): void {
  const box = byId(id);
  setText(inside(box, '.value'), value);
  setText(inside(box, '.detail'), detail);
  setAttribute(box, 'data-mood', mood);
}

/** One square for each place of the pool. More than these would not be squares any more. */
const MOST_PLACES = 100;

function showUse({ counts, limits, connections }: PoolState): void {
  const { leased, idle, opening, validating, closing, quarantined } = counts;
  const others = Object.entries({ opening, validating, closing, quarantined })
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${count(number)} ${name}`);
  const of = limits.poolSize === null ? '' : ` of ${count(limits.poolSize)}`;
  const isFull = limits.poolSize !== null && leased >= limits.poolSize;
  figure(
    'use',
    `${count(leased)}${of}`,
    [`${count(idle)} idle`, ...others].join(' · '),
    isFull ? 'warn' : '',
  );
  const states = [
    ...connections.map(({ state, holdsWriteLock }) => (holdsWriteLock ? 'writing' : state)).sort(byPlace),
    ...Array<string>(opening).fill('opening'),
  ];
  const free = Math.max(0, (limits.poolSize ?? 0) - states.length);
  const places = [...states, ...Array<string>(free).fill('free')].slice(0, MOST_PLACES);
  list(
    inside(byId('use'), '.places'),
    places.map((state, index) => ({ state, index })),
    {
      key: ({ index }) => String(index),
      create: () => element('i'),
      update: (square, { state }) => {
        setAttribute(square, 'data-state', state);
        setAttribute(square, 'title', state);
      },
    },
  );
}

const PLACES = ['quarantined', 'writing', 'leased', 'validating', 'closing', 'idle'];

function byPlace(a: string, b: string): number {
  return PLACES.indexOf(a) - PLACES.indexOf(b);
}

function showWaiting({ waiters, limits, counts: { waiting, acquireTimeouts, wait } }: PoolState): void {
  const total = Math.max(waiting, waiters.total);
  const [oldest] = waiters.shown;
  const timeouts = acquireTimeouts > 0 ? [counted(acquireTimeouts, 'timeout')] : [];
  const detail =
    oldest === undefined
      ? [`wait p95 ${duration(wait.p95Ms)}`, ...timeouts]
      : [`oldest ${duration(oldest.ageMs)}`, ...timeouts];
  const isNear = limits.maxWaiting !== null && total > limits.maxWaiting / 2;
  figure('waiting', count(total), detail.join(' · '), isNear ? 'bad' : total > 0 ? 'warn' : '');
}

function showWriter({ connections, counts: { writerHeld, writersWaiting } }: PoolState): void {
  const writer = connections.find(({ holdsWriteLock }) => holdsWriteLock);
  const behind = writersWaiting === 0 ? 'none behind' : `${count(writersWaiting)} behind`;
  const mood = writersWaiting > 0 ? 'warn' : '';
  if (writer !== undefined) {
    const age = ageOf(writer);
    figure(
      'writer',
      nameOf(writer),
      [...(age === null ? [] : [`for ${duration(age)}`]), behind].join(' · '),
      mood,
    );
  } else if (writerHeld) figure('writer', 'Writing', behind, mood);
  else figure('writer', 'Free', behind, mood);
}

function showWal({ counts: { walBytes }, limits: { walLimitBytes }, connections }: PoolState): void {
  const readers = connections.filter(({ reading }) => reading !== null);
  const oldest = readers.sort((a, b) => Number(ageOf(b)) - Number(ageOf(a)))[0];
  const age = oldest === undefined ? 0 : Number(ageOf(oldest));
  const limit = walLimitBytes === null ? 'no limit' : `limit ${bytes(walLimitBytes)}`;
  const isOver = walLimitBytes !== null && walBytes > walLimitBytes;
  if (oldest === undefined || age < LONG_READ_MS) {
    figure('wal', bytes(walBytes), limit, isOver ? 'warn' : '');
  } else {
    const what = `${String(oldest.reading)} of ${nameOf(oldest)} keeps it, ${duration(age)}`;
    figure('wal', bytes(walBytes), `${limit} · ${what}`, isOver ? 'bad' : 'warn');
  }
}

/** How long a connection has been used as it is now. */
export function ageOf({ heldMs, ageMs }: ConnectionState): number | null {
  return heldMs ?? ageMs;
}

/** Who uses a connection: the route, or the number of the connection. */
function nameOf({ origin, id }: ConnectionState): string {
  return origin?.route ?? `#${String(id)}`;
}
