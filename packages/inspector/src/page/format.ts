const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 2 });

export function count(number: number): string {
  return whole.format(number);
}

/** A rate: with a digit after the point if it is small. */
export function rate(number: number): string {
  return number < 10 ? short.format(number) : whole.format(number);
}

/** A duration, with about two digits. */
export function duration(ms: number): string {
  if (ms < 1 && ms > 0) return `${whole.format(Math.max(1, ms * 1000))} µs`;
  if (ms < 10) return `${short.format(ms)} ms`;
  if (ms < 1000) return `${whole.format(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 60_000) return `${whole.format(ms / 1000)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${whole.format(Math.floor(seconds / 60))} min ${String(seconds % 60)} s`;
  return `${whole.format(Math.floor(seconds / 3600))} h ${String(Math.floor((seconds % 3600) / 60))} min`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(size: number): string {
  const power = size < 1024 ? 0 : Math.min(Math.floor(Math.log2(size) / 10), UNITS.length - 1);
  const value = size / 1024 ** power;
  return `${value < 10 && power > 0 ? value.toFixed(1) : whole.format(value)} ${String(UNITS[power])}`;
}

/** A time of the day, as the reader's system writes it. */
export function timeOf(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour12: false });
}

export function percent(share: number): string {
  if (share > 0 && share < 0.01) return '< 1 %';
  return `${whole.format(share * 100)} %`;
}

/** `2 connections`, `1 connection`. */
export function counted(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? '' : 's'}`;
}

/** Of a text in SQL, one line. */
export function oneLine(sql: string): string {
  return sql.replaceAll(/\s+/g, ' ').trim();
}
