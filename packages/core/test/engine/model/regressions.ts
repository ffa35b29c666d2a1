import type { Schedule } from './schedule.ts';

/**
 * Schedules that failed once, as the fuzz runner printed them, each with what was wrong. They stay for ever: `pnpm test`
 * runs them all.
 */
export const REGRESSIONS: readonly { readonly title: string; readonly schedule: Schedule }[] = [];
