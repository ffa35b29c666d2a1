import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { context, SpanKind, type Tracer } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  TracerProvider,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace';
import { instrument } from '@sqlite-pool/core/opentelemetry';
import { sqlitePool } from '@sqlite-pool/fastify';
import { fastify, type FastifyInstance } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';

import { post } from './http.ts';

/** A server with a span for each request, as the instrumentation of node:http makes one. */
function traced(tracer: Tracer): FastifyInstance {
  return fastify({
    serverFactory: (handler) =>
      createServer((request, response) => {
        tracer.startActiveSpan(`${String(request.method)} /users`, { kind: SpanKind.SERVER }, (span) => {
          context.bind(context.active(), request);
          response.once('finish', () => {
            span.end();
          });
          handler(request, response);
        });
      }),
  });
}

async function newServer() {
  const folder = await mkdtemp(join(tmpdir(), 'sqlite-pool-traces-'));
  const exporter = new InMemorySpanExporter();
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  const app = traced(tracerProvider.getTracer('http'));
  await app.register(sqlitePool, { filename: join(folder, 'app.db') });
  await app.sqlite.script('CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, posts INTEGER DEFAULT 0)');
  const instrumentation = instrument({ metrics: false, tracerProvider });
  onTestFinished(async () => {
    instrumentation.disable();
    context.disable();
    await app.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { app, spans: () => exporter.getFinishedSpans() };
}

/** The spans of one request as a tree, one a line. */
function treeOf(spans: readonly ReadableSpan[], parent?: string): string[] {
  return spans
    .filter(({ name, parentSpanContext }) => name !== 'acquire' && parentSpanContext?.spanId === parent)
    .toSorted((a, b) => nanoseconds(a) - nanoseconds(b))
    .flatMap((span) => [
      `${span.name} (${SpanKind[span.kind]})`,
      ...treeOf(spans, span.spanContext().spanId).map((line) => `  ${line}`),
    ]);
}

function nanoseconds({ startTime: [seconds, rest] }: ReadableSpan): number {
  return seconds * 1e9 + rest;
}

describe('the trace of a request', () => {
  it('is the tree that docs/sight.md shows', async () => {
    const { app, spans } = await newServer();
    app.post<{ Body: { name: string } }>('/users', async (request) => {
      const { name } = request.body;
      const user = await request.db.transaction(async (tx) => {
        await tx.run('INSERT INTO users (name) VALUES (?)', [name]);
        await tx.run('UPDATE users SET posts = posts + 1 WHERE name = ?', [name]);
        return await tx.get('SELECT * FROM users WHERE name = ?', [name]);
      });
      const count = await request.db.get('SELECT count(*) AS count FROM users');
      return { ...user, ...count };
    });
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    const answer = await post(`${url}/users`, { name: 'Ada' });
    expect(answer.body).toEqual({ id: 1, name: 'Ada', posts: 1, count: 1 });
    await expect.poll(() => spans().map(({ name }) => name)).toContain('POST /users');
    expect(treeOf(spans())).toEqual([
      'POST /users (SERVER)',
      '  transaction (INTERNAL)',
      '    INSERT users (CLIENT)',
      '    UPDATE users (CLIENT)',
      '    SELECT users (CLIENT)',
      '  SELECT users (CLIENT)',
    ]);
  });

  it('is its own, also of two requests at the same time', async () => {
    const { app, spans } = await newServer();
    app.post<{ Body: { name: string } }>('/users', (request) =>
      request.db.transaction(async (tx) => {
        await tx.run('INSERT INTO users (name) VALUES (?)', [request.body.name]);
        return (await tx.get('SELECT count(*) AS count FROM users')) ?? {};
      }),
    );
    const url = await app.listen({ port: 0, host: '127.0.0.1' });
    await Promise.all(['Ada', 'Bob', 'Eve'].map((name) => post(`${url}/users`, { name })));
    await expect.poll(() => spans().filter(({ kind }) => kind === SpanKind.SERVER).length).toBe(3);
    const request = [
      'POST /users (SERVER)',
      '  transaction (INTERNAL)',
      '    INSERT users (CLIENT)',
      '    SELECT users (CLIENT)',
    ];
    expect(treeOf(spans())).toEqual([...request, ...request, ...request]);
  });
});
