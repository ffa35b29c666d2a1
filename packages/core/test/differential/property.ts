import fc from 'fast-check';
import { run } from './differential.ts';
import type { Program } from './program.ts';
import { programs } from './programs.ts';

/** How often a program on real threads runs while fast-check looks for a smaller one: it need not fail each time. */
const TRIES = 5;

/** Random programs do what their calls do alone. */
export function differentialProperty(): fc.IAsyncProperty<[Program]> {
  let hasFailed = false;
  return fc.asyncProperty(programs, async (program) => {
    const tries = hasFailed && program.options.pace === 'free' ? TRIES : 1;
    for (let left = tries; left > 0; left -= 1) {
      try {
        await run(program);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  });
}
