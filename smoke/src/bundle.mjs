import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from '@sqlite-pool/core';

// In a function: CommonJS has no await of its own.
async function main() {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-smoke-'));
  const pool = createPool({ filename: join(folder, 'smoke.db') });
  try {
    await pool.script('CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL)');
    await pool.run('INSERT INTO notes (body) VALUES (?)', ['bundled']);
    assert.deepEqual(await pool.all('SELECT * FROM notes'), [{ id: 1, body: 'bundled' }]);
    assert.equal(pool.stats().driver, 'node:sqlite');
  } finally {
    await pool.close();
    await rm(folder, { recursive: true });
  }
}

void main();
