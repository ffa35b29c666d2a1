import type { Driver } from '../../driver.ts';
import { LibsqlConnection, type ConnectionSettings } from './connection.ts';
import { Connector } from './connector.ts';
import { Fence } from './replica-fence.ts';
import { checkLibsqlOptions, type LibsqlOptions, type LibsqlSettings } from './options.ts';
import type { OpenStream, Stream } from './protocol.ts';
import { ReplicaReader } from './replica.ts';

/** Makes the driver for a libSQL server. */
export function libsqlDriver(options: LibsqlOptions): Driver {
  const settings = checkLibsqlOptions(options);
  const { primary, bufferBytes } = settings;
  const openOne = settings.replicas.length === 0 ? opener(settings) : openerWithReplicas(settings);
  return {
    name: 'libsql',
    locks: 'server',
    // A stream that has ended is replaced at the next call, which a health check would only make longer.
    defaults: { validateAfterIdleMs: Infinity },
    open: async (signal) => {
      const { stream, ...parts } = await openOne(signal);
      return new LibsqlConnection(stream, { ...parts, bufferBytes });
    },
    databaseId: () => Promise.resolve(primary.id),
  };
}

/** A stream, and how its connection opens others and reads. */
type Parts = Pick<ConnectionSettings, 'open' | 'replica' | 'onClose'> & { readonly stream: Stream };

function opener(settings: LibsqlSettings): (signal?: AbortSignal) => Promise<Parts> {
  const connector = new Connector(settings.primary, settings);
  const open: OpenStream = (signal) => connector.open(signal);
  return async (signal) => ({ stream: await open(signal), open });
}

function openerWithReplicas(settings: LibsqlSettings): (signal?: AbortSignal) => Promise<Parts> {
  const primary = new Connector(settings.primary, settings, {
    lost: () => fence.lost(),
    position: (position) => fence.note(position),
  });
  const fence = new Fence((signal) => primary.open(signal));
  const connectors = settings.replicas.map((replica) => new Connector(replica, settings));
  const replicas = connectors.map(
    (connector): OpenStream =>
      (signal) =>
        connector.open(signal),
  );
  const shared = { fence, replicas, waitMs: settings.replicaWaitMs };
  const open: OpenStream = async (signal) => {
    const stream = await primary.open(signal);
    fence.opened();
    return stream;
  };
  let count = 0;
  return async (signal) => {
    const stream = await open(signal);
    fence.join();
    return { stream, open, replica: new ReplicaReader(shared, count++), onClose: () => fence.leave() };
  };
}
