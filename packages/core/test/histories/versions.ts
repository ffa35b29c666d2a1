import { authorOf, nameOf, showValue, type History, type Op, type Transaction } from './history.ts';

/** Something in a history that no serial order of its transactions can explain. */
export interface Anomaly {
  readonly kind: string;
  /** What happened, in words. */
  readonly words: string;
}

/** What a transaction has read of what others have done: its own appends, at the end of what it saw, are not in it. */
interface View {
  readonly reader: Transaction;
  readonly list: string;
  readonly saw: readonly number[];
}

/** The lists of a history, as its reads show them. */
export interface Versions {
  /** The values of each list in the order in which they were appended; not of a list that has no such order. */
  readonly orders: ReadonlyMap<string, readonly number[]>;
  /** The reads that saw a beginning of that order, as each should have. */
  readonly views: readonly View[];
  readonly anomalies: readonly Anomaly[];
}

/** What is known of an append from the transaction that made it. */
interface Intent {
  readonly author: Transaction;
  readonly list: string;
  /** False inside a savepoint that was rolled back. */
  readonly kept: boolean;
}

/** Finds the order of each list, and what is wrong with single values, reads and transactions. */
export function versionsOf({ transactions }: History): Versions {
  return new Reading(transactions).result;
}

class Reading {
  readonly result: Versions;
  readonly #intents = new Map<number, Intent>();
  readonly #views: View[] = [];
  readonly #orders = new Map<string, readonly number[]>();
  /** Of each list the view that began last. */
  readonly #latest = new Map<string, View>();
  /** The transaction that was the first in the log to see a value. */
  readonly #seenBy = new Map<number, Transaction>();
  readonly #anomalies: Anomaly[] = [];
  /** Lists with something in them that no order explains: what it would say of other transactions is worth nothing. */
  readonly #broken = new Set<string>();

  constructor(transactions: readonly Transaction[]) {
    for (const transaction of transactions) this.#follow(transaction, transaction.ops, new Map(), true);
    for (const view of this.#views) this.#note(view);
    for (const [list, order] of this.#orders) this.#checkValues(order, list, 'The longest read of it');
    const views = this.#views.filter((view) => this.#isBeginning(view));
    for (const view of views) this.#checkWhole(view);
    for (const transaction of transactions) this.#checkKept(transaction);
    const orders = new Map([...this.#orders].filter(([list]) => !this.#broken.has(list)));
    this.result = { orders, views, anomalies: this.#anomalies };
  }

  #complain(kind: string, words: string): void {
    this.#anomalies.push({ kind, words });
  }

  #complainOf(list: string, kind: string, words: string): void {
    this.#broken.add(list);
    this.#complain(kind, words);
  }

  /** Goes through a transaction, with what it has appended itself so far. */
  #follow(reader: Transaction, ops: readonly Op[], own: Map<string, number[]>, kept: boolean): void {
    for (const op of ops) {
      if ('nested' in op) {
        const inside = new Map(Array.from(own, ([list, values]) => [list, [...values]]));
        this.#follow(reader, op.nested, inside, kept && op.kept);
        if (op.kept) for (const [list, values] of inside) own.set(list, values);
      } else if ('append' in op) {
        this.#intents.set(op.append, { author: reader, list: op.to, kept });
        own.set(op.to, [...(own.get(op.to) ?? []), op.append]);
      } else if (op.saw !== undefined) this.#see(reader, op.read, op.saw, own.get(op.read) ?? []);
    }
  }

  #see(reader: Transaction, list: string, saw: readonly number[], own: readonly number[]): void {
    const others = saw.slice(0, Math.max(0, saw.length - own.length));
    const found = saw.slice(others.length);
    if (found.join() !== own.join() || others.some((value) => authorOf(value) === reader.id)) {
      const expected =
        own.length === 0 ? 'nothing of its own' : `its own ${own.map(showValue).join(', ')} last`;
      this.#complain(
        'own append not seen',
        `${show(reader)} read list ${list} as ${showList(saw)}, and should have found ${expected}.`,
      );
      return;
    }
    this.#views.push({ reader, list, saw: others });
  }

  #note(view: View): void {
    const { list, saw, reader } = view;
    if (saw.length >= (this.#orders.get(list)?.length ?? 0)) this.#orders.set(list, saw);
    const latest = this.#latest.get(list);
    if (latest === undefined || reader.begin > latest.reader.begin) this.#latest.set(list, view);
    for (const value of saw) if (!this.#seenBy.has(value)) this.#seenBy.set(value, reader);
  }

  /** Whether a read saw a beginning of the order; complains if not, about its values too. */
  #isBeginning({ reader, list, saw }: View): boolean {
    const order = this.#orders.get(list) ?? [];
    if (saw.every((value, at) => value === order[at])) return true;
    this.#complainOf(
      list,
      'incompatible order',
      `${show(reader)} read list ${list} as ${showList(saw)}; another read saw ${showList(order)}, and neither can have come after the other.`,
    );
    this.#checkValues(
      saw.filter((value) => !order.includes(value)),
      list,
      show(reader),
    );
    return false;
  }

  #checkValues(values: readonly number[], list: string, reader: string): void {
    const before = new Set<number>();
    for (const value of values) {
      if (before.has(value)) {
        this.#complainOf(
          list,
          'duplicate append',
          `List ${list} has ${showValue(value)} twice: ${showList(values)}. ${this.#madeBy(value)}`,
        );
      } else this.#checkValue(value, list, reader);
      before.add(value);
    }
  }

  #checkValue(value: number, list: string, reader: string): void {
    const intent = this.#intents.get(value);
    const what = `${reader} has ${showValue(value)} in list ${list}`;
    if (intent?.list !== list) {
      this.#complainOf(
        list,
        'append from nowhere',
        `${what}, where nobody has appended it. ${this.#madeBy(value)}`,
      );
    } else if (intent.author.outcome === 'fail' || !intent.kept) {
      const stays = this.#latest.get(list)?.saw.includes(value) === true;
      const kind = stays ? 'phantom append' : 'G1a (aborted read)';
      this.#complainOf(list, kind, `${what}. ${this.#madeBy(value)}`);
    }
  }

  #madeBy(value: number): string {
    const intent = this.#intents.get(value);
    if (intent === undefined) return 'No transaction of the log has appended it.';
    const { author, list, kept } = intent;
    const undone = kept ? '' : ' in a savepoint that was rolled back';
    return `${show(author)} appended it to list ${list}${undone}; the outcome of ${nameOf(author.id)} was ${author.outcome}.`;
  }

  /** A read must not end between two appends of one transaction. */
  #checkWhole({ reader, list, saw }: View): void {
    const last = saw.at(-1);
    const next = this.#orders.get(list)?.[saw.length];
    if (last === undefined || next === undefined || authorOf(last) !== authorOf(next)) return;
    this.#complain(
      'G1b (intermediate read)',
      `${show(reader)} read list ${list} up to ${showValue(last)}, without ${showValue(next)}, which the same transaction appended next. ${this.#madeBy(next)}`,
    );
  }

  /** What was acknowledged must be there, and nothing in part. */
  #checkKept(author: Transaction): void {
    const { outcome, doomed, ops } = author;
    if (doomed && outcome === 'ok')
      this.#complain('acknowledged refusal', `${show(author)} was acknowledged, and SQLite must refuse it.`);
    if (outcome === 'fail') return;
    const kept = keptAppends(ops);
    const witness = kept.map(({ append }) => this.#seenBy.get(append)).find((reader) => reader !== undefined);
    for (const { append, to } of kept) {
      const latest = this.#latest.get(to)?.reader;
      if (latest === undefined || this.#seenBy.has(append)) continue;
      const isAfter = (reader: Transaction | undefined): boolean =>
        reader !== undefined && (latest === reader || latest.begin > reader.end);
      const value = `${showValue(append)} is not in list ${to}, which ${show(latest)} read`;
      if (outcome === 'ok' && latest.begin > author.end) {
        this.#complain('lost append', `${show(author)} was acknowledged, and ${value} after that.`);
      } else if (isAfter(witness)) {
        this.#complain('partial transaction', `Of ${show(author)} only a part is there: ${value}.`);
      }
    }
  }
}

function keptAppends(ops: readonly Op[]): { append: number; to: string }[] {
  return ops.flatMap((op) => {
    if ('append' in op) return [op];
    return 'nested' in op && op.kept ? keptAppends(op.nested) : [];
  });
}

/** `T2.17 (pool.batch)` */
export function show({ id, way }: Transaction): string {
  return `${nameOf(id)} (${way})`;
}

function showList(values: readonly number[]): string {
  const most = 12;
  const shown = values.slice(-most).map(showValue).join(', ');
  return values.length > most ? `[… ${String(values.length - most)} more, ${shown}]` : `[${shown}]`;
}
