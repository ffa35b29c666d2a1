import { spawnSync } from 'node:child_process';
import { cpus, release, totalmem, type } from 'node:os';

import sqlite3 from 'sqlite3';

/** Where figures come from. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly filesystem: string;
  readonly node: string;
  readonly sqlite: string;
  readonly date: string;
}

export function describeMachine(directory: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    filesystem: filesystemOf(directory),
    node: process.version,
    sqlite: sqlite3.VERSION,
    date: new Date().toISOString().slice(0, 10),
  };
}

/** Only GNU's df tells the type. */
function filesystemOf(directory: string): string {
  const { status, stdout } = spawnSync('df', ['--output=fstype', directory], { encoding: 'utf8' });
  return (status === 0 ? stdout.trim().split('\n')[1] : undefined) ?? 'unknown';
}
