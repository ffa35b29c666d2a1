import * as nodeServer from '@hono/node-server';
import { timeout } from 'hono/timeout';
import { testPlugin } from '../../../conformance/plugin-cases.ts';
import { CAN, starter } from './hono.ts';

testPlugin({
  name: 'Hono 4.13',
  can: [...CAN, 'error-status', 'handler-timeout', 'hijack', 'websocket'],
  start: starter({ ...nodeServer, timeout }),
});
