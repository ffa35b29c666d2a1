// @ts-check
/** @import { Beat, ComparisonState, ContestantState, Way } from '../state.ts' */

const POLL_MS = 250;
/** So far behind the servers the page shows their clocks: longer than from one question to the next answer. */
const BEHIND_MS = 500;
const STRIP_MS = 5_000;
const STRIP_WIDTH = 300;
/** A loop that has not come round for this long stands still. The beats come each 10 ms, and machines are busy. */
const STILL_MS = 50;
const BEATS_PER_ROUND = 100;

/** @type {Readonly<Record<Way, { title: string, how: string }>>} */
const WORDS = {
  inline: {
    title: '',
    how: 'One connection, and each statement runs in the event loop, between two requests.',
  },
  each: {
    title: 'A connection each',
    how: 'Each request opens a connection on one of four threads, as asynchronous drivers do, and closes it.',
  },
  pool: {
    title: 'sqlite-pool',
    how: 'Up to ten connections stay open, on threads, and writers wait in one queue.',
  },
};

/** Whether the reader has asked for less motion: then the clocks move four times a second. */
const calm = matchMedia('(prefers-reduced-motion: reduce)');

/**
 * @template {Element} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
function find(root, selector, type) {
  const found = root.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`The page has no ${selector}.`);
}

/** @param {number} ms */
const inMs = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;

/**
 * How long the thread itself kept its loop before a beat; less than a stop does not count.
 * @param {Beat} beat
 */
const blockOf = ({ busyMs }) => (busyMs >= STILL_MS ? busyMs : 0);

/** @param {Pick<ContestantState, 'way' | 'driver'>} contestant */
const titleOf = ({ way, driver }) => (way === 'inline' ? `${driver.split(' ')[0]} inline` : WORDS[way].title);

/** What a browser shows of one contestant. */
class Card {
  /** @type {Beat[]} */
  #beats = [];
  #count = 0;
  #section;

  /** @param {ContestantState} state */
  constructor({ way, driver }) {
    const template = find(document, '#contestant', HTMLTemplateElement);
    const copy = document.importNode(template.content, true);
    this.#section = find(copy, 'section', HTMLElement);
    this.#section.dataset['way'] = way;
    this.#text('h2', titleOf({ way, driver }));
    this.#text('.how', WORDS[way].how);
    this.#text('.driver', `runs on ${driver}`);
    find(document, '#contestants', HTMLElement).append(this.#section);
  }

  /** @param {ContestantState} state */
  update({ clock, reads, busy, failed, query, writers }) {
    this.#beats.push(...clock.beats);
    this.#count = clock.count;
    this.#text('.stop', `longest block in 10 s: ${inMs(clock.longestStopMs)}`);
    this.#figure('p50', reads ? inMs(reads.p50) : '–');
    this.#figure('p99', reads ? inMs(reads.p99) : '–', reads !== null && reads.p99 >= STILL_MS);
    this.#figure('perSecond', reads ? String(reads.perSecond) : '0');
    this.#figure('busy', failed > 0 ? `${busy}, and ${failed} other errors` : String(busy), busy > 0);
    this.#figure('query', query ? `answered after ${inMs(query.ms)}` : '–');
    const written = writers && `${writers.written} written, ${writers.busy} BUSY, in ${inMs(writers.ms)}`;
    this.#figure('writers', written ?? '–', (writers?.busy ?? 0) > 0);
  }

  /** @param {number} now On the clock of the servers. */
  draw(now) {
    while ((this.#beats[0]?.at ?? now) < now - STRIP_MS - 1_000) this.#beats.shift();
    const shown = this.#beats.filter(({ at }) => at <= now);
    const last = shown.at(-1);
    if (last === undefined) return;
    const moved = this.#count - (this.#beats.length - shown.length);
    const angle = ((moved % BEATS_PER_ROUND) * 360) / BEATS_PER_ROUND;
    find(this.#section, '.hand', SVGElement).setAttribute('transform', `rotate(${angle} 50 50)`);
    const next = this.#beats[shown.length];
    const still = (next?.at ?? now) - last.at >= STILL_MS;
    const own = next === undefined || now < last.at + blockOf(next);
    this.#section.dataset['loop'] = still ? (own ? 'still' : 'starved') : 'runs';
    this.#text('.loop', still ? (own ? 'stands still' : 'gets no core') : 'runs');
    this.#drawStrip(now, shown);
  }

  /**
   * @param {number} now
   * @param {readonly Beat[]} shown
   */
  #drawStrip(now, shown) {
    /** @param {number} at */
    const x = (at) => Math.max(0, STRIP_WIDTH * (1 - (now - at) / STRIP_MS)).toFixed(1);
    let [own, starved] = ['', ''];
    for (const [index, beat] of this.#beats.entries()) {
      const before = this.#beats[index - 1] ?? beat;
      if (beat.at - before.at < STILL_MS || before.at > now || beat.at < now - STRIP_MS) continue;
      // What the thread did not compute in a stop, it was ready and got no core. The order of the two is not known.
      const worked = Math.min(beat.at, before.at + blockOf(beat));
      if (worked > before.at) own += `M${x(before.at)} 12H${x(Math.min(worked, now))}`;
      if (worked < Math.min(beat.at, now)) starved += `M${x(worked)} 12H${x(Math.min(beat.at, now))}`;
    }
    this.#path('.runs', `M${x(shown[0]?.at ?? now)} 12H${STRIP_WIDTH}`);
    this.#path('.stands', own);
    this.#path('.starved', starved);
  }

  /**
   * @param {string} selector
   * @param {string} d
   */
  #path(selector, d) {
    find(this.#section, selector, SVGElement).setAttribute('d', d);
  }

  /**
   * @param {string} selector
   * @param {string} text
   */
  #text(selector, text) {
    const element = find(this.#section, selector, HTMLElement);
    if (element.textContent !== text) element.textContent = text;
  }

  /**
   * @param {string} name
   * @param {string} text
   * @param {boolean} bad
   */
  #figure(name, text, bad = false) {
    this.#text(`[data-figure=${name}]`, text);
    find(this.#section, `[data-figure=${name}]`, HTMLElement).classList.toggle('bad', bad);
  }
}

/** @type {Map<Way, Card>} */
const cards = new Map();
/** The clock of the servers minus that of this page. */
let offset = 0;
/** @type {number | undefined} */
let since;
const status = find(document, '#status', HTMLElement);
const buttons = [...document.querySelectorAll('button')];

/** @param {string} text */
function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<ComparisonState>}
 */
async function ask(path, options) {
  const response = await fetch(path, options);
  if (response.ok) return response.json();
  const { message } = await response.json().catch(() => ({ message: response.statusText }));
  throw new Error(message);
}

async function poll() {
  const state = await ask(`compare/state${since === undefined ? '' : `?since=${since}`}`);
  if (cards.size === 0) {
    for (const button of buttons) button.disabled = false;
    say('Running');
  }
  // The shortest way an answer has taken tells most about the difference.
  const difference = state.now - performance.now();
  offset = since === undefined ? difference : Math.max(offset, difference);
  since = state.now;
  for (const contestant of state.contestants) {
    const card = cards.get(contestant.way) ?? new Card(contestant);
    cards.set(contestant.way, card);
    card.update(contestant);
  }
}

/** After an error the servers start anew, with new clocks and counts. */
function startAnew() {
  since = undefined;
  cards.clear();
  find(document, '#contestants', HTMLElement).replaceChildren();
  for (const button of buttons) button.disabled = true;
}

async function watch() {
  if (document.visibilityState === 'visible') {
    try {
      await poll();
    } catch (error) {
      startAnew();
      say(`No answer: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  setTimeout(watch, POLL_MS);
}

function draw() {
  const now = performance.now() + offset - BEHIND_MS;
  for (const card of cards.values()) card.draw(now);
  if (calm.matches) setTimeout(draw, POLL_MS);
  else requestAnimationFrame(draw);
}

/**
 * @param {string} name
 * @param {(contestant: ContestantState) => string} result
 */
function press(name, result) {
  const button = find(document, `#${name}`, HTMLButtonElement);
  button.addEventListener('click', async () => {
    // Not `disabled`: the button would lose the focus of the keyboard.
    if (button.getAttribute('aria-disabled') === 'true') return;
    for (const one of buttons) one.setAttribute('aria-disabled', 'true');
    say('One server after the other …');
    try {
      const { contestants } = await ask(`compare/${name}`, {
        method: 'POST',
        headers: { 'x-comparison': '1' },
      });
      say(contestants.map((one) => `${titleOf(one)}: ${result(one)}`).join(' · '));
    } catch (error) {
      say(`No answer: ${error instanceof Error ? error.message : String(error)}`);
    }
    for (const one of buttons) one.setAttribute('aria-disabled', 'false');
  });
}

press('query', ({ query }) => (query ? `the event loop was blocked for ${inMs(query.stopMs)}` : 'no answer'));
press('writers', ({ writers }) => (writers ? `${writers.written} of 64 written` : 'no answer'));
void watch();
draw();
