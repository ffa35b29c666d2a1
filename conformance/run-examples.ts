/** Runs the modules that its parent names, one after the other, and sends how each ended. */
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';

/** How a module ended. */
export interface ExampleOutcome {
  /** The code of the error, else its text; `nothing` if there was none. */
  readonly error: string;
}

const unhandled: unknown[] = [];
process.on('unhandledRejection', (error) => void unhandled.push(error));

process.once('message', (files: readonly string[]) => {
  void runAll(files).then((outcomes) => process.send?.(outcomes, () => process.exit()));
});

async function runAll(files: readonly string[]): Promise<ExampleOutcome[]> {
  const outcomes: ExampleOutcome[] = [];
  for (const file of files) outcomes.push({ error: await run(file) });
  return outcomes;
}

async function run(file: string): Promise<string> {
  process.chdir(dirname(file));
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    return describe(error);
  }
  // An example may show a call that is not awaited.
  await setImmediate();
  const [late] = unhandled.splice(0);
  return late === undefined ? 'nothing' : describe(late);
}

function describe(error: unknown): string {
  const { code, stack } = error as { readonly code?: unknown; readonly stack?: string };
  return typeof code === 'string' && /^(?!ERR_)[A-Z_]+$/.test(code) ? code : String(stack ?? error);
}
