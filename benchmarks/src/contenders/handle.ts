import type { Pragmas } from '@sqlite-pool/core';
import sqlite3 from 'sqlite3';

import { pragmaSql } from '../by-hand.ts';
import type { Row } from '../contender.ts';

/** A handle of the sqlite3 package with promises, and nothing else: what pools and wrappers are put around. */
export async function openHandle(filename: string, pragmas: Pragmas): Promise<sqlite3.Database> {
  const handle = await new Promise<sqlite3.Database>((resolve, reject) => {
    const opening = new sqlite3.Database(filename, (error) => (error ? reject(error) : resolve(opening)));
  });
  await new Promise<void>((resolve, reject) => {
    handle.exec(pragmaSql(pragmas), (error) => (error ? reject(error) : resolve()));
  });
  return handle;
}

export function closeHandle(handle: sqlite3.Database): Promise<void> {
  return new Promise((resolve, reject) => {
    handle.close((error) => (error ? reject(error) : resolve()));
  });
}

export function prepare(handle: sqlite3.Database, sql: string): Promise<sqlite3.Statement> {
  return new Promise((resolve, reject) => {
    const preparing = handle.prepare(sql, (error) => (error ? reject(error) : resolve(preparing)));
  });
}

export function finalize(statement: sqlite3.Statement): Promise<void> {
  return new Promise((resolve) => void statement.finalize(() => resolve()));
}

/** The query methods, of a handle or of a statement that is kept. */
export function getOf(handle: sqlite3.Database, sql: string, params: unknown): Promise<Row | undefined> {
  return new Promise((resolve, reject) => {
    handle.get<Row>(sql, params, (error, row) => (error ? reject(error) : resolve(row)));
  });
}

export function allOf(handle: sqlite3.Database, sql: string, params: unknown): Promise<Row[]> {
  return new Promise((resolve, reject) => {
    handle.all<Row>(sql, params, (error, rows) => (error ? reject(error) : resolve(rows)));
  });
}

export function runOf(handle: sqlite3.Database, sql: string, params: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    handle.run(sql, params, (error) => (error ? reject(error) : resolve()));
  });
}
