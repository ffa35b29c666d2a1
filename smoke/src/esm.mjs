import * as core from '@sqlite-pool/core';
import * as channels from '@sqlite-pool/core/channels';
import * as opentelemetry from '@sqlite-pool/core/opentelemetry';
import * as prometheus from '@sqlite-pool/core/prometheus';
import * as testing from '@sqlite-pool/core/testing';
import * as expressPlugin from '@sqlite-pool/express';
import * as expressTransaction from '@sqlite-pool/express/transaction';
import * as fastifyPlugin from '@sqlite-pool/fastify';
import * as honoPlugin from '@sqlite-pool/hono';
import * as inspector from '@sqlite-pool/inspector';
import express from 'express';
import fastify from 'fastify';
import { Hono } from 'hono';
import { Registry } from 'prom-client';

import { runCheck } from './checks.mjs';

const sight = { channels, opentelemetry, prometheus, Registry };
await runCheck({
  core,
  testing,
  ...sight,
  expressPlugin,
  expressTransaction,
  fastifyPlugin,
  honoPlugin,
  inspector,
  express,
  fastify,
  Hono,
});
