import * as nodeServer from 'node-server-1';
import { testPlugin } from '../../../../conformance/plugin-cases.ts';
import { CAN, starter } from '../hono.ts';

// Before 4.5 Hono answers 500 to whatever is no HTTPException of its own. There is no hono/timeout yet; the server of its day has
// no WebSockets, and always answers by itself.
const start = starter({ ...nodeServer, streamsReject: true });
testPlugin({ name: 'Hono 4.0', can: CAN, start }, 1);
