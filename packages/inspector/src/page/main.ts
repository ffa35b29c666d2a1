import type { Plan, State } from '../state.ts';
import { byId, element, setAttribute, setText } from './dom.ts';
import { showFigures } from './figures.ts';
import { timeOf } from './format.ts';
import { History } from './history.ts';
import { StatementTable } from './statements.ts';
import { showTables } from './tables.ts';

const INTERVAL_MS = 1000;
const LONGEST_INTERVAL_MS = 10_000;
const TIMEOUT_MS = 5000;

/** Where the inspector is mounted: with or without a slash at the end, the data is below. */
const base = location.pathname.replace(/\/*$/, '/');

const history = new History();
const table = new StatementTable(loadPlan, () => void poll());

let timer: ReturnType<typeof setTimeout> | undefined;
let isPaused = false;
let failures = 0;
let polls = 0;
/** When the inspector began that the page has its seconds from. */
let since = 0;

/** The number of the chosen pool stands in the URL, so that a reload keeps it. */
function chosen(): string {
  return /^#pool=(\d+)$/.exec(location.hash)?.[1] ?? '0';
}

/** Asks for the state now, and then again and again while the page is visible. */
async function poll(): Promise<void> {
  clearTimeout(timer);
  polls += 1;
  const own = polls;
  try {
    const query = new URLSearchParams({ pool: chosen(), after: String(history.last), order: table.order });
    const state = await load<State>(`state.json?${query.toString()}`);
    // The reader has asked for something else meanwhile.
    if (own !== polls) return;
    failures = 0;
    show(state);
    setStatus('live', isPaused ? 'Paused' : 'Live');
  } catch (error) {
    if (own !== polls) return;
    failures += 1;
    setStatus('lost', error instanceof Refused ? error.message : 'No answer');
  }
  if (isPaused || document.visibilityState === 'hidden') return;
  timer = setTimeout(() => void poll(), Math.min(INTERVAL_MS * 2 ** failures, LONGEST_INTERVAL_MS));
}

/** The server has answered, but not with what the page needs. */
class Refused extends Error {}

async function load<T>(path: string): Promise<T> {
  const response = await fetch(base + path, { signal: AbortSignal.timeout(TIMEOUT_MS), cache: 'no-store' });
  if (response.status === 401) throw new Refused('Reload to sign in');
  if (!response.ok) throw new Refused(`Error ${String(response.status)}`);
  return (await response.json()) as T;
}

async function loadPlan(id: number): Promise<Plan> {
  try {
    return await load<Plan>(`plan.json?pool=${chosen()}&id=${String(id)}`);
  } catch {
    return { steps: [], note: 'The plan is not available now.' };
  }
}

function show(state: State): void {
  const { pool, pools, node, version } = state;
  if (since !== state.since) {
    // The server has started anew.
    const isFirst = since === 0;
    since = state.since;
    if (!isFirst) {
      history.clear();
      void poll();
      return;
    }
  }
  document.title = `${pool.name} · sqlite-pool`;
  setText(byId('name'), pool.name);
  const database = pool.database === null || pool.database === pool.name ? [] : [pool.database];
  const sqlite = pool.facts.sqlite === null ? [] : [`SQLite ${pool.facts.sqlite}`];
  setText(
    byId('versions'),
    [...database, pool.driver, ...sqlite, `Node.js ${node.slice(1)}`, `sqlite-pool ${version}`].join(' · '),
  );
  showChoice(pools);
  showFigures(pool);
  history.add(pool.seconds);
  showTables(pool);
  table.show(pool);
  setAttribute(byId('status'), 'title', `since ${timeOf(state.since)}`);
}

function showChoice(pools: readonly string[]): void {
  byId('choice').hidden = pools.length === 0;
  // The name would stand there twice.
  byId('name').classList.toggle('unseen', pools.length > 0);
  const select = byId('pools') as HTMLSelectElement;
  if (select.options.length !== pools.length) {
    select.replaceChildren(
      ...pools.map((name, number) => element('option', { value: String(number) }, name)),
    );
  }
  select.value = chosen();
}

function setStatus(state: string, text: string): void {
  setAttribute(byId('status'), 'data-state', isPaused ? 'paused' : state);
  // A screen reader speaks only when it changes.
  setText(byId('status'), text);
}

byId('pools').addEventListener('change', ({ target }) => {
  location.hash = `pool=${(target as HTMLSelectElement).value}`;
});

addEventListener('hashchange', () => {
  history.clear();
  void poll();
});

byId('pause').addEventListener('click', () => {
  isPaused = !isPaused;
  byId('pause').setAttribute('aria-pressed', String(isPaused));
  clearTimeout(timer);
  if (isPaused) setStatus('paused', 'Paused');
  else void poll();
});

document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible' && !isPaused) void poll();
});

void poll();
