import type { Plan, PoolState, StatementOrder, StatementState } from '../state.ts';
import {
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
import { count, duration, oneLine, percent } from './format.ts';

interface Column {
  readonly title: string;
  /** The order that its heading asks for. */
  readonly order?: StatementOrder;
  readonly text: (statement: StatementState) => string;
}

const COLUMNS: readonly Column[] = [
  { title: 'Calls', order: 'count', text: (one) => count(one.count) },
  { title: 'p50', order: 'p50', text: (one) => duration(one.p50Ms) },
  { title: 'p95', order: 'p95', text: (one) => duration(one.p95Ms) },
  { title: 'Max', order: 'max', text: (one) => duration(one.maxMs) },
  { title: 'Total', order: 'total', text: (one) => duration(one.totalMs) },
  { title: 'Waited', text: (one) => percent(one.totalMs === 0 ? 0 : Math.min(1, one.waitMs / one.totalMs)) },
  { title: 'Errors', order: 'errors', text: (one) => count(one.errors) },
];

/** The table of statements: sorted by the server, with a plan for each. */
export class StatementTable {
  readonly #table = byId('statements');
  readonly #headings = new Map<StatementOrder, HTMLElement>();
  readonly #loadPlan: (id: number) => Promise<Plan>;
  readonly #rows: Rows<StatementState>;
  order: StatementOrder = 'total';

  /** `reorder` is called when the reader has chosen another order. */
  constructor(loadPlan: (id: number) => Promise<Plan>, reorder: () => void) {
    this.#loadPlan = loadPlan;
    const headings = inside(this.#table, 'thead tr');
    headings.append(element('th', { role: 'columnheader', scope: 'col' }, 'Statement'));
    for (const { title, order } of COLUMNS) {
      const heading = element('th', { role: 'columnheader', scope: 'col', class: 'number' });
      headings.append(heading);
      if (order === undefined) heading.append(title);
      else heading.append(this.#button(title, order, heading, reorder));
    }
    this.#rows = {
      key: ({ id }) => String(id),
      create: (statement) => this.#create(statement),
      update: (made, statement) => {
        COLUMNS.forEach(({ text }, index) =>
          setText(inside(made, `[data-column="${String(index)}"]`), text(statement)),
        );
        inside(made, '[data-label="Errors"]').classList.toggle('bad', statement.errors > 0);
      },
    };
  }

  show({ statements: { shown, total } }: PoolState): void {
    for (const [order, heading] of this.#headings) {
      setAttribute(heading, 'aria-sort', order === this.order ? 'descending' : undefined);
    }
    this.#table.hidden = total === 0;
    list(this.#table, shown, this.#rows);
    const note = byId('no-statements');
    const hidden = total - shown.length;
    setText(note, total === 0 ? 'No statement has ended yet.' : `and ${count(hidden)} more`);
    note.hidden = total > 0 && hidden === 0;
  }

  #button(title: string, order: StatementOrder, heading: HTMLElement, reorder: () => void): HTMLElement {
    this.#headings.set(order, heading);
    const button = element('button', { type: 'button', class: 'sort' }, title);
    button.addEventListener('click', () => {
      this.order = order;
      reorder();
    });
    return button;
  }

  /** A body of its own: the row, and the row that opens below it. */
  #create({ id, summary, sql }: StatementState): HTMLElement {
    const detail = `statement-${String(id)}`;
    const button = element('button', {
      type: 'button',
      class: 'open',
      'aria-expanded': 'false',
      'aria-controls': detail,
    });
    button.append(
      element('b', {}, summary === '' ? 'Statement' : summary),
      element('code', {}, oneLine(sql)),
    );
    const heading = rowHeading('Statement');
    heading.append(button);
    const cells = COLUMNS.map(({ title }, index) => {
      const made = cell(title, 'number');
      made.setAttribute('data-column', String(index));
      return made;
    });
    const inner = element('td', { role: 'cell', colspan: String(COLUMNS.length + 1) });
    const below = element('tr', { role: 'row', id: detail, class: 'detail', hidden: '' }, inner);
    button.addEventListener('click', () => {
      below.hidden = !below.hidden;
      button.setAttribute('aria-expanded', String(!below.hidden));
      if (!below.hidden) void this.#open(inner, id, sql);
    });
    return element('tbody', { role: 'rowgroup' }, row(heading, ...cells), below);
  }

  async #open(inner: HTMLElement, id: number, sql: string): Promise<void> {
    const result = element('div', { class: 'plan' }, 'Asking SQLite …');
    inner.replaceChildren(
      element('pre', { class: 'text' }, sql),
      element('h3', {}, 'EXPLAIN QUERY PLAN'),
      result,
    );
    const { steps, note } = await this.#loadPlan(id);
    if (note !== null) setText(result, note);
    else if (steps.length === 0) setText(result, 'No step: it searches and scans nothing.');
    else result.replaceChildren(planList(steps));
  }
}

/** The plan as a list of lists. */
function planList(steps: Plan['steps']): HTMLElement {
  const lists = [element('ul')];
  for (const { depth, detail } of steps) {
    lists.length = Math.min(lists.length, depth + 1);
    while (lists.length <= depth) {
      const below = element('ul');
      const parent = lists.at(-1)?.lastElementChild ?? lists.at(-1);
      parent?.append(below);
      lists.push(below);
    }
    lists.at(-1)?.append(element('li', {}, detail));
  }
  return lists[0] ?? element('ul');
}
