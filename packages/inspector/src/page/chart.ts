import { element, inside, setAttribute, setText } from './dom.ts';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 300;
const HEIGHT = 100;

/** One line of a chart. */
export interface Line {
  readonly name: string;
  /** A class of style.css. */
  readonly kind: string;
  readonly isArea?: boolean;
}

/** The values of one second, one for each line; `null` where there is nothing to draw. */
export interface Point {
  readonly at: number;
  readonly values: readonly (number | null)[];
}

/** A chart of the last 300 seconds. The pointer shows the values of one second. */
export class Chart {
  readonly #svg: Element;
  readonly #paths: readonly (readonly Element[])[];
  readonly #cursor: Element;
  readonly #top: HTMLElement;
  readonly #readout: HTMLElement;
  readonly #figure: HTMLElement;
  readonly #lines: readonly Line[];
  readonly #write: (value: number) => string;
  readonly #describe: (point: Point) => string;
  #points: readonly Point[] = [];
  #now = 0;
  #pointer: number | undefined;

  constructor(
    figure: HTMLElement,
    lines: readonly Line[],
    write: (value: number) => string,
    describe: (point: Point) => string,
  ) {
    this.#figure = figure;
    this.#lines = lines;
    this.#write = write;
    this.#describe = describe;
    this.#readout = inside(figure, '.readout');
    this.#svg = shape('svg', {
      viewBox: `0 0 ${String(WIDTH)} ${String(HEIGHT)}`,
      preserveAspectRatio: 'none',
      role: 'img',
    });
    for (const y of [0, HEIGHT / 2, HEIGHT]) {
      this.#svg.append(shape('path', { class: 'grid', d: `M0 ${String(y)}H${String(WIDTH)}` }));
    }
    this.#paths = lines.map(({ kind, isArea }) => {
      const kinds = isArea === true ? [`area ${kind}`, `line ${kind}`] : [`line ${kind}`];
      return kinds.map((one) => shape('path', { class: one }));
    });
    this.#cursor = shape('path', { class: 'cursor' });
    this.#svg.append(...this.#paths.flat(), this.#cursor);
    this.#top = element('span', { class: 'top', 'aria-hidden': 'true' });
    const scale = element('div', { class: 'scale', 'aria-hidden': 'true' });
    scale.append(element('span', {}, '5 min ago'), element('span', {}, 'now'));
    figure.append(element('div', { class: 'plot' }, this.#svg, this.#top), scale);
    this.#follow();
  }

  /** `points` are in the order of their time. `now` is the second at the right edge. */
  draw(points: readonly Point[], now: number): void {
    this.#points = points;
    this.#now = now;
    const most = Math.max(0, ...points.flatMap(({ values }) => values.map(Number)));
    const top = roundedUp(most);
    setText(this.#top, this.#write(top));
    this.#paths.forEach((paths, index) => {
      const drawn = this.#path(index, top);
      const [area, line] = paths.length === 2 ? paths : [undefined, paths[0]];
      line?.setAttribute('d', drawn.map(({ line: one }) => one).join(''));
      area?.setAttribute('d', drawn.map(({ area: one }) => one).join(''));
    });
    const last = points.at(-1);
    const highest = `highest ${this.#write(most)}`;
    const names = this.#lines.map(({ name }) => name).join(' and ');
    const latest = last === undefined ? 'nothing yet' : `last ${this.#describe(last)}`;
    setAttribute(this.#svg, 'aria-label', `${names} in the last five minutes: ${latest}; ${highest}`);
    this.#read();
  }

  /** The runs of seconds that have a value. */
  #path(index: number, top: number): { readonly line: string; readonly area: string }[] {
    const runs: [x: number, y: number][][] = [];
    let previous = -Infinity;
    for (const { at, values } of this.#points) {
      const value = values[index];
      if (value === null || value === undefined) continue;
      const place: [number, number] = [this.#x(at), HEIGHT - (value / top) * HEIGHT];
      if (at === previous + 1) runs.at(-1)?.push(place);
      else runs.push([place]);
      previous = at;
    }
    return runs.map((run) => {
      const [first = [0, 0], last = [0, 0]] = [run[0], run.at(-1)];
      // A run of one second is a dot: a line without a length, with a round end.
      const line = `M${run.map(([x, y]) => `${String(x)} ${y.toFixed(1)}`).join('L')}${run.length === 1 ? 'h0' : ''}`;
      return { line, area: `${line}L${String(last[0])} ${String(HEIGHT)}H${String(first[0])}Z` };
    });
  }

  #x(at: number): number {
    return WIDTH - (this.#now - at);
  }

  #follow(): void {
    const move = (event: Event): void => {
      const { left, width } = this.#svg.getBoundingClientRect();
      this.#pointer = ((event as PointerEvent).clientX - left) / width;
      this.#read();
    };
    this.#svg.addEventListener('pointermove', move);
    this.#svg.addEventListener('pointerdown', move);
    this.#svg.addEventListener('pointerleave', () => {
      this.#pointer = undefined;
      this.#read();
    });
  }

  /** Writes the values at the pointer, or a legend. */
  #read(): void {
    const pointer = this.#pointer;
    const at = pointer === undefined ? undefined : this.#now - Math.round((1 - pointer) * WIDTH);
    const point = this.#points.find((one) => one.at === at);
    this.#cursor.setAttribute(
      'd',
      point === undefined ? '' : `M${String(this.#x(point.at))} 0V${String(HEIGHT)}`,
    );
    this.#figure.classList.toggle('pointed', point !== undefined);
    if (point !== undefined) setText(this.#readout, this.#describe(point));
    else if (this.#readout.childElementCount === 0) {
      const legend = this.#lines.map(({ name, kind }) => element('span', { class: `key ${kind}` }, name));
      this.#readout.replaceChildren(...legend);
    }
  }
}

/** The next number that reads well. */
function roundedUp(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * Number([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value));
}

function shape(tag: string, attributes: Readonly<Record<string, string>>): Element {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
