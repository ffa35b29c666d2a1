/**
 * Helpers for tests of code that uses a pool, of drivers and of plugins: a clock that stands still, a driver that fails
 * on command, and the cases that every driver and every plugin must pass. They need no test runner.
 *
 * @module
 */
export { fakeClock, type FakeClock } from './fake-clock.ts';
export { fakeDriver, type FakeDriver, type FakeDriverOptions } from './fake-driver.ts';
export { type FakeAbility } from './fake-connection.ts';
export { type FakeCall, type FakeMethod, type FakeOutcome, type FakeScript } from './fake-call.ts';
export { driverCases } from './driver-cases.ts';
export { type DriverCase, type OpenDriver } from './driver/bench.ts';
export { pluginCases } from './plugin-cases.ts';
export {
  type PluginAbility,
  type PluginAnswer,
  type PluginApp,
  type PluginCase,
  type PluginContext,
  type PluginRoute,
  type RunningPlugin,
  type StartPlugin,
} from './plugin/contract.ts';
