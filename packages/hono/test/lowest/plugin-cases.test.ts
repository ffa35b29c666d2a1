import type { createAdaptorServer } from '@hono/node-server';
import * as nodeServer from 'node-server-1';
import { testPlugin } from '../../../../conformance/plugin-cases.ts';
import { CAN, starter } from '../hono.ts';

// There is no hono/timeout yet, and there are no WebSockets in the server itself. Its types are those of another copy.
const start = starter(nodeServer as { createAdaptorServer: typeof createAdaptorServer });
testPlugin({ name: 'Hono 4.0', can: CAN, start });
