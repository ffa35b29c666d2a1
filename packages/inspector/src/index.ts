/**
 * A page that shows what the pools of `@sqlite-pool/core` do: who holds a connection, who waits, who writes, and which
 * statements take long. It shows no row and no bound value, and it can change nothing.
 *
 * @module
 */
export { createInspector, type Inspector } from './inspector.ts';
export { basicAuth } from './basic-auth.ts';
export {
  UnprotectedInspectorError,
  type InspectedPool,
  type InspectorAccess,
  type InspectorOptions,
  type InspectorRequest,
  type InspectorResponse,
} from './options.ts';
export { type Mounts } from './mounts.ts';
