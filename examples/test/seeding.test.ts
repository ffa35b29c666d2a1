import { readFile, stat, writeFile } from 'node:fs/promises';

import { createPool } from '@sqlite-pool/core';
import { describe, expect, it } from 'vitest';

import { scales } from '../src/shared/seed-data.ts';
import { seed } from '../src/shared/seeding.ts';
import { seededFile, temporaryFile } from './examples.ts';

describe('seeding', () => {
  it('makes as many rows as the scale says, each referring to rows that exist', async () => {
    await using pool = createPool({ filename: await seededFile() });
    const counts =
      await pool.get(`SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM posts) AS posts,
      (SELECT count(*) FROM comments) AS comments, (SELECT count(*) FROM likes) AS likes`);
    expect(counts).toEqual(scales.tiny);
    expect(await pool.all('SELECT * FROM pragma_foreign_key_check')).toEqual([]);
  });

  it('makes the same file every time', async () => {
    const [one, other] = await Promise.all([readFile(await seededFile()), readFile(await seededFile())]);
    expect(one.equals(other)).toBe(true);
  });

  it('leaves a file of the same scale as it is', async () => {
    const file = await temporaryFile();
    expect(await seed(file, 'tiny')).toBe(true);
    const { mtimeMs } = await stat(file);
    expect(await seed(file, 'tiny')).toBe(false);
    expect((await stat(file)).mtimeMs).toBe(mtimeMs);
  });

  it('refuses a file of another scale', async () => {
    await expect(seed(await seededFile(), 'small')).rejects.toThrow('was seeded with the scale tiny');
  });

  it('refuses a file that it did not make, and leaves it as it is', async () => {
    const file = await temporaryFile('letter.txt');
    await writeFile(file, 'Dear reader');
    await expect(seed(file, 'tiny')).rejects.toThrow('seeding did not make it');
    expect(await readFile(file, 'utf8')).toBe('Dear reader');
  });

  it('begins anew after a seeding that was interrupted', async () => {
    const file = await temporaryFile();
    await writeFile(`${file}.draft`, 'half a database');
    expect(await seed(file, 'tiny')).toBe(true);
  });

  it('says how far it is, up to the end', async () => {
    const shares: number[] = [];
    await seed(await temporaryFile(), 'tiny', (done, total) => shares.push(done / total));
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect([shares[0], shares.at(-1)]).toEqual([0, 1]);
  });
});
