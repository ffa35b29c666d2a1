import { rm } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { accountOf, Difference, isDoubtful, type Account, type Effect, type Look } from './account.ts';
import { Alone, openHandle } from './alone.ts';
import { contentsOf } from './contents.ts';
import { POOL, type History } from './history.ts';
import type { Program } from './program.ts';
import type { Recorder } from './recorder.ts';
import { User } from './users.ts';

/**
 * Does once more what was done, each action alone, in the order in which it took effect, and compares every result, and what is in the two
 * files in the end. Throws a {@link Difference}.
 *
 * @param found - What is in the file of the pool.
 * @param filename - Where to do it.
 */
export async function judge(
  program: Program,
  history: History,
  recorder: Recorder,
  found: readonly string[],
  filename: string,
): Promise<void> {
  const account = accountOf(history, recorder);
  const doubtful = account.effects.filter(({ action }) => isDoubtful(action));
  let nearest: { readonly difference: unknown; readonly explained: number } | undefined;
  // A write that was cancelled is there or it is not: one of the two must explain everything else.
  for (let chosen = 0; chosen < 2 ** doubtful.length; chosen += 1) {
    const absent = new Set(doubtful.filter((_, at) => ((chosen >> at) & 1) === 1));
    const effects = account.effects.filter((effect) => !absent.has(effect));
    for (const end of ['', '-wal', '-shm']) await rm(filename + end, { force: true });
    const replay = new Replay(program, history, filename);
    try {
      await replay.run({ ...account, effects });
      compare(found, await contentsOf(filename));
      return;
    } catch (difference) {
      const { explained } = replay;
      if (nearest === undefined || explained > nearest.explained) nearest = { difference, explained };
    } finally {
      await replay.close();
    }
  }
  throw nearest?.difference;
}

function compare(found: readonly string[], expected: readonly string[]): void {
  if (isDeepStrictEqual(found, expected)) return;
  const only = (lines: readonly string[], others: readonly string[]): string[] => {
    const left = [...others];
    return lines.filter((line) => !left.includes(line) || left.splice(left.indexOf(line), 1).length === 0);
  };
  throw new Difference('The files differ.', {
    'only in the file of the pool': only(found, expected),
    'only where each ran alone': only(expected, found),
  });
}

/** A second file, and what was done on the first. */
class Replay {
  readonly #program: Program;
  readonly #filename: string;
  readonly #user: User;
  readonly #sessions = new Map<string, Alone>();
  /** How many effects were the same. */
  explained = 0;

  constructor(program: Program, { numbers }: History, filename: string) {
    this.#program = program;
    this.#filename = filename;
    this.#user = new User(numbers);
  }

  async run({ effects, looks }: Account): Promise<void> {
    await (await this.#session(POOL)).script(this.#program.schema);
    let open = looks.map((look) => ({ look, ...span(look, effects) }));
    for (const [done, effect] of [...effects.entries(), [effects.length, undefined] as const]) {
      const still: typeof open = [];
      for (const each of open)
        if (each.from > done || !(await this.#sees(each.look, done === each.to))) still.push(each);
      open = still;
      if (effect !== undefined) await this.#repeat(effect);
      this.explained = done;
    }
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
  }

  async #session(name: string): Promise<Alone> {
    const key = this.#program.options.oneConnection ? POOL : name;
    const known = this.#sessions.get(key);
    if (known !== undefined) {
      await known.refresh();
      return known;
    }
    const { recursiveTriggers, driver } = this.#program.options;
    const handle = await openHandle(this.#filename, driver);
    await handle.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ${String(recursiveTriggers)}`,
    );
    const session = new Alone(handle);
    this.#sessions.set(key, session);
    return session;
  }

  async #repeat({ action }: Effect): Promise<void> {
    const session = await this.#session(action.session);
    if (action.op === 'release') {
      await session.release();
      return;
    }
    const expected = await this.#user.perform(action.op, session);
    if (isDoubtful(action) || isDeepStrictEqual(action.outcome, expected)) return;
    throw new Difference('A call ended in another way than alone.', action, { alone: expected });
  }

  /** Whether a read sees what is there now; at its last chance it must. */
  async #sees({ action }: Look, isLast: boolean): Promise<boolean> {
    if (action.op === 'release') return true;
    const expected = await this.#user.perform(action.op, await this.#session(action.session));
    if (isDeepStrictEqual(action.outcome, expected)) return true;
    if (!isLast) return false;
    throw new Difference('A read saw a state that there never was.', action, { 'at its end': expected });
  }
}

/** A read sees what was acknowledged before it began, and nothing that began when it was over. */
function span(
  { action, began }: Look,
  effects: readonly Effect[],
): { readonly from: number; readonly to: number } {
  const acknowledged = ({ action: { settled }, wrote }: Effect): boolean => wrote && settled < began;
  const from = effects.findLastIndex((effect) => acknowledged(effect) && !isDoubtful(effect.action)) + 1;
  const to = effects.filter(({ place }) => place.began < action.settled).length;
  return { from, to: Math.max(from, to) };
}
