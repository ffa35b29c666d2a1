/** The others take minutes: `pnpm test:long` makes all of them, and a run that does the same for hundreds of mutants fewer. */
const SHARE = Number(process.env['RUNS_SHARE'] ?? 0.2);

/** How many of `all` random runs to make. `pnpm test` makes a fifth of them. */
export function shareOf(all: number): number {
  return Math.ceil(all * SHARE);
}
