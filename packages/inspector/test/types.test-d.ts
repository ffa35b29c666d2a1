/** Checked by `tsc`, never run. */
import type { SqlitePool } from '@sqlite-pool/core';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
import { mount } from 'hono/mount';
import { expectTypeOf } from 'vitest';
import { basicAuth, createInspector, type Inspector, type InspectorResponse } from '../src/index.ts';

declare const pool: SqlitePool;

const inspector = createInspector({ pool });
expectTypeOf(inspector).toEqualTypeOf<Inspector>();
expectTypeOf(inspector.handle).returns.toEqualTypeOf<Promise<InspectorResponse>>();
expectTypeOf(inspector.close).toEqualTypeOf<() => void>();

createInspector({ pools: [pool, pool], auth: basicAuth('admin', process.env['PASSWORD']), now: Date.now });
createInspector({ pool, auth: async ({ headers }) => Promise.resolve(headers.authorization === 'Bearer x') });
createInspector({ pool, unsafePublic: true });
// @ts-expect-error -- a pool is needed
createInspector({});
// @ts-expect-error -- either one or several
createInspector({ pool, pools: [pool] });
// @ts-expect-error -- no such option
createInspector({ pool, password: 'secret' });
// @ts-expect-error -- auth answers with true or false
createInspector({ pool, auth: () => 'yes' });
// @ts-expect-error -- it opens no pool itself
createInspector({ filename: 'app.db' });

void fastify().register(inspector.fastify, { prefix: '/sqlite' });
new Hono().all('/sqlite/*', mount(inspector.fetch));
express().use('/sqlite', inspector.listener);
