import { jsonResponse, pageResponse, textResponse } from './answering/page-response.ts';
import { planOf } from './answering/plan.ts';
import { snapshot } from './answering/snapshot.ts';
import { mountsOf, type Mounts } from './mounts.ts';
import {
  checkInspectorOptions,
  type InspectorOptions,
  type InspectorRequest,
  type InspectorResponse,
  type InspectorSettings,
} from './options.ts';
import { PAGE } from './page.ts';
import { PoolRecord } from './recording/pool-record.ts';
import { Recorder } from './recording/recorder.ts';
import { STATEMENT_ORDERS, type State } from './state.ts';

/**
 * A page that shows what pools do, and the ways to put it into an application.
 *
 * @example
 * app.register(inspector.fastify, { prefix: '/sqlite' }); // Fastify
 * app.all('/sqlite/*', mount(inspector.fetch)); // Hono, with mount of hono/mount
 * app.use('/sqlite', inspector.listener); // Express
 */
export interface Inspector extends Mounts {
  /**
   * Answers one request, for a server that the other methods do not fit. Has no effect. Rejects only with an error of
   * your `auth`.
   *
   * @example const { status, headers, body } = await inspector.handle({ method: 'GET', path: '/', headers: {} });
   */
  readonly handle: (request: InspectorRequest) => Promise<InspectorResponse>;
  /**
   * Stops to listen to the pools; the page then shows what it knew. It happens by itself when all pools have closed.
   *
   * @example app.addHook('onClose', () => inspector.close());
   */
  readonly close: () => void;
}

/**
 * Makes the page for a pool, or for several, and begins to listen to them: the page shows what happens from now on.
 *
 * Throws `UnprotectedInspectorError` in production without `auth` and without `unsafePublic: true`, and
 * `InvalidArgumentError` for options that cannot work.
 *
 * @example
 * const inspector = createInspector({ pool, auth: basicAuth('admin', process.env.INSPECTOR_PASSWORD) });
 * app.use('/sqlite', inspector.listener);
 */
export function createInspector(options: InspectorOptions): Inspector {
  const settings = checkInspectorOptions(options);
  const records = settings.pools.map((pool) => new PoolRecord(pool, settings.now));
  const recorder = new Recorder(records);
  const answers = new Answers(records, settings);
  const handle = (request: InspectorRequest): Promise<InspectorResponse> => answers.handle(request);
  return { handle, ...mountsOf(handle), close: () => recorder.close() };
}

/** From a request to its response. */
class Answers {
  readonly #records: readonly PoolRecord[];
  readonly #settings: InspectorSettings;
  readonly #since: number;

  constructor(records: readonly PoolRecord[], settings: InspectorSettings) {
    this.#records = records;
    this.#settings = settings;
    this.#since = Math.round(settings.now());
  }

  async handle(request: InspectorRequest): Promise<InspectorResponse> {
    const response = await this.#respond(request);
    return request.method === 'HEAD' ? { ...response, body: '' } : response;
  }

  async #respond(request: InspectorRequest): Promise<InspectorResponse> {
    // First of all, and `true` alone: who may not see the page learns nothing.
    const allowed: unknown = await this.#settings.auth(request);
    if (allowed !== true) {
      return textResponse(401, 'You may not see this page.', {
        'www-authenticate': 'Basic realm="sqlite-pool inspector", charset="UTF-8"',
      });
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return textResponse(405, 'This page can only be read.', { allow: 'GET, HEAD' });
    }
    const [path = '', query = ''] = request.path.split('?', 2);
    const search = new URLSearchParams(query);
    if (path === '' || path === '/') return pageResponse();
    if (path === '/state.json') return this.#state(search);
    if (path === '/plan.json') return await this.#plan(search);
    return notFound();
  }

  #state(search: URLSearchParams): InspectorResponse {
    const number = Number(search.get('pool') ?? 0);
    const record = this.#records[number];
    if (record === undefined) return notFound();
    const now = this.#settings.now();
    const order = STATEMENT_ORDERS.find((one) => one === search.get('order')) ?? 'total';
    const wish = { after: Number(search.get('after') ?? 0) || 0, order };
    const state: State = {
      at: Math.round(now),
      since: this.#since,
      node: process.version,
      version: PAGE.version,
      pools: this.#records.length === 1 ? [] : this.#records.map(({ pool }) => pool.inspect().poolName),
      pool: snapshot(record, number, wish, now),
    };
    return jsonResponse(state);
  }

  async #plan(search: URLSearchParams): Promise<InspectorResponse> {
    const record = this.#records[Number(search.get('pool') ?? 0)];
    const plan = record === undefined ? undefined : await planOf(record, Number(search.get('id')));
    return plan === undefined ? notFound() : jsonResponse(plan);
  }
}

function notFound(): InspectorResponse {
  return textResponse(404, 'There is nothing here.');
}
