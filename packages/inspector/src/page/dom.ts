/** The element with this id, which index.html has. */
export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element #${id}.`);
  return found;
}

/** The first element inside `parent` that fits, which the page has. */
export function inside(parent: ParentNode, selector: string): HTMLElement {
  const found = parent.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`The page has no ${selector}.`);
  return found;
}

/** Makes an element. Texts stay texts: nothing here reads HTML. */
export function element(
  tag: string,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElement {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Sets a text if it has changed, so that a selection survives. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Sets an attribute, or removes it. */
export function setAttribute(target: Element, name: string, value: string | undefined): void {
  if (value === undefined) target.removeAttribute(name);
  else if (target.getAttribute(name) !== value) target.setAttribute(name, value);
}

/** What {@link list} needs of a kind of rows. */
export interface Rows<T> {
  readonly key: (item: T) => string;
  /** Makes the element of an item; `update` then fills it. */
  readonly create: (item: T) => HTMLElement;
  readonly update: (made: HTMLElement, item: T) => void;
}

const shown = new WeakMap<Element, Map<string, HTMLElement>>();

/**
 * Makes the last children of `parent` those of `items`. An element stays as long as its key does, so it keeps its focus and
 * what the reader has opened.
 */
export function list<T>(parent: Element, items: readonly T[], { key, create, update }: Rows<T>): void {
  const before = shown.get(parent) ?? new Map<string, HTMLElement>();
  const after = new Map<string, HTMLElement>();
  for (const item of items) {
    const made = before.get(key(item)) ?? create(item);
    update(made, item);
    after.set(key(item), made);
  }
  for (const [old, made] of before) if (!after.has(old)) made.remove();
  let next: Element | null = null;
  for (const made of [...after.values()].reverse()) {
    // An element that is where it belongs is not moved: moving it would lose the focus.
    if (made.parentElement !== parent || made.nextElementSibling !== next) parent.insertBefore(made, next);
    next = made;
  }
  shown.set(parent, after);
}

/** A row of a table. On a narrow screen, CSS makes it a block, so it says its role itself. */
export function row(...cells: readonly HTMLElement[]): HTMLElement {
  return element('tr', { role: 'row' }, ...cells);
}

/** A cell. `label` is the heading that it shows on a narrow screen. */
export function cell(label: string, kind = ''): HTMLElement {
  return element('td', { role: 'cell', 'data-label': label, class: kind });
}

/** The heading of a row. */
export function rowHeading(label: string, text = ''): HTMLElement {
  return element('th', { role: 'rowheader', scope: 'row', 'data-label': label }, text);
}

/** The part of a table that the page fills. */
export function bodyOf(table: HTMLElement): HTMLElement {
  const body = table.querySelector('tbody') ?? element('tbody', { role: 'rowgroup' });
  if (body.parentElement === null) table.append(body);
  return body;
}
