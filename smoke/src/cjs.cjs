const core = require('@sqlite-pool/core');
const channels = require('@sqlite-pool/core/channels');
const opentelemetry = require('@sqlite-pool/core/opentelemetry');
const prometheus = require('@sqlite-pool/core/prometheus');
const testing = require('@sqlite-pool/core/testing');
const expressPlugin = require('@sqlite-pool/express');
const expressTransaction = require('@sqlite-pool/express/transaction');
const fastifyPlugin = require('@sqlite-pool/fastify');
const honoPlugin = require('@sqlite-pool/hono');
const inspector = require('@sqlite-pool/inspector');
const express = require('express');
const fastify = require('fastify');
const { Hono } = require('hono');
const { Registry } = require('prom-client');

const sight = { channels, opentelemetry, prometheus, Registry };

// A variable, so that TypeScript does not follow the import: the checks are typed against the other declarations.
const checks = './checks.mjs';
void import(checks).then(({ runCheck }) =>
  runCheck({
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
  }),
);
