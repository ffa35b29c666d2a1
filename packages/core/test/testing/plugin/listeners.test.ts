import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import type { RequestDb } from '../../../src/index.ts';
import type { PluginContext } from '../../../src/testing/index.ts';
import { ListenerWatch } from '../../../src/testing/plugin/listeners.ts';

function contextOf(response: EventEmitter, db: object): PluginContext {
  const request = Object.assign(new EventEmitter(), { socket: new EventEmitter() });
  return { db: db as RequestDb, body: undefined, request, response } as unknown as PluginContext;
}

it('a watched db is what it was, and only what its methods add to the response counts, until it is gone', () => {
  const [watch, response] = [new ListenerWatch(), new EventEmitter()];
  response.on('close', () => undefined);
  const listener = (): void => undefined;
  const db = { name: 'a db', get: (sql: string) => (response.once('close', listener), sql) };
  const watched = watch.watch(contextOf(response, db)).db as unknown as typeof db;
  response.on('finish', () => undefined);
  expect(watch.left).toBe(0);
  expect([watched.name, watched.get('SELECT 1')]).toEqual(['a db', 'SELECT 1']);
  expect(watch.left).toBe(1);
  response.emit('close');
  expect(watch.left).toBe(0);
});

it('a context of a framework that has no response without a socket is not watched', () => {
  const watch = new ListenerWatch();
  const { db } = watch.watch({ db: { get: () => 'a row' } } as unknown as PluginContext);
  expect(db.get('SELECT 1')).toBe('a row');
  expect(watch.left).toBe(0);
});
