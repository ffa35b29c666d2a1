/**
 * What a plugin for a web framework needs: see docs/plugins.md, and the cases for plugins in `@sqlite-pool/core/testing`.
 *
 * @module
 */
export { FetchResponse, type FetchHandling } from './request/fetch-response.ts';
export type { HoldableResponse } from './request/held-response.ts';
export { pluginHandle, type PluginHandle } from './request/plugin-handle.ts';
export {
  pluginSettings,
  type ExistingPool,
  type PluginOptions,
  type PluginSettings,
  type RequestOptions,
} from './request/plugin-options.ts';
export type { LeaseMode, RequestDb } from './request/request-db.ts';
export { RequestLease, type RequestLeaseOptions } from './request/request-lease.ts';
export { beginTransaction, leaseRequest, type RequestArrival } from './request/request-scope.ts';
export {
  checkRequestTransaction,
  RequestTransaction,
  type RequestTransactionOptions,
} from './request/request-transaction.ts';
export { transactionOf, type RouteTransaction } from './request/route-transaction.ts';
export { type ResponseEvents } from './request/request-lifetime.ts';
export { closeWithServer, type ClosableServer, type ShutdownOptions } from './request/server-close.ts';
