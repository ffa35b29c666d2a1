import type {
  AcquireEvent,
  CheckpointEvent,
  EvictEvent,
  LeakEvent,
  OpenEvent,
  QueryEvent,
  ReleaseEvent,
  TransactionEvent,
} from '@sqlite-pool/core/channels';
import type { InspectedPool } from '../options.ts';
import { EventLog, failureOf } from './events.ts';
import { FACTS_SQL, FactsReader } from './facts.ts';
import { GroupSizes } from './groups.ts';
import { Seconds } from './seconds.ts';
import { Statements } from './statements.ts';

/** What the inspector remembers of one pool. Its memory is bounded, except for the calls that run and wait now. */
export class PoolRecord {
  readonly pool: InspectedPool;
  readonly statements: Statements = new Statements();
  readonly groups: GroupSizes = new GroupSizes();
  readonly seconds: Seconds;
  readonly events: EventLog;
  readonly facts: FactsReader;
  /** The calls that have not ended, oldest first, with the time at which they began. */
  readonly running: Map<QueryEvent, number> = new Map<QueryEvent, number>();
  /** The leases that wait for a connection. */
  readonly acquiring: Map<AcquireEvent, number> = new Map<AcquireEvent, number>();
  readonly transactions = { committed: 0, rolledBack: 0, unknown: 0 };
  isClosed = false;
  readonly #now: () => number;

  constructor(pool: InspectedPool, now: () => number) {
    this.pool = pool;
    this.#now = now;
    this.seconds = new Seconds(Math.floor(now() / 1000));
    this.events = new EventLog(now);
    this.facts = new FactsReader(pool, now);
  }

  queryBegan(event: QueryEvent): void {
    if (event.sql !== FACTS_SQL) this.running.set(event, this.#now());
  }

  queryEnded(event: QueryEvent): void {
    if (!this.running.delete(event)) return;
    this.seconds.add(event, Math.floor(this.#now() / 1000));
    this.statements.add(event);
    this.groups.add(event);
  }

  acquireBegan(event: AcquireEvent): void {
    // A single statement that waits is in `running`.
    if (event.purpose === 'lease') this.acquiring.set(event, this.#now());
  }

  acquireEnded(event: AcquireEvent): void {
    this.acquiring.delete(event);
    if (event.error === undefined) return;
    const { request } = event;
    this.events.add('acquire', 'A wait for a connection failed', `: ${failureOf(event)}`, {
      isBad: true,
      request,
    });
  }

  transactionEnded({ outcome, mode }: TransactionEvent): void {
    if (mode === 'savepoint') return;
    if (outcome === 'committed') this.transactions.committed += 1;
    else if (outcome === 'rolled back') this.transactions.rolledBack += 1;
    else this.transactions.unknown += 1;
  }

  opened(event: OpenEvent): void {
    if (event.error === undefined)
      this.events.add('open', 'Opened a connection', ` in ${inMs(event.durationMs)}`);
    else this.events.add('open', 'Could not open a connection', `: ${failureOf(event)}`, { isBad: true });
  }

  released({ ending, heldMs, request }: ReleaseEvent): void {
    if (ending !== 'revoked') return;
    const held = heldMs === undefined ? '' : ` after ${inMs(heldMs)}`;
    this.events.add('lease', 'The pool revoked a lease', held, { isBad: true, request });
  }

  evicted({ reason }: EvictEvent): void {
    this.events.add('evict', `Evicted a connection (${reason})`, '', { isBad: reason === 'invalid' });
  }

  leaked({ how, request }: LeakEvent): void {
    const text =
      how === 'old' ? 'A lease is older than leakWarningMs' : 'A lease was collected without a release';
    this.events.add('leak', text, '', { isBad: true, request });
  }

  wasSlow({ sql, durationMs, request }: QueryEvent): void {
    if (sql === FACTS_SQL) return;
    this.events.add('slow', 'A statement took', ` ${inMs(durationMs)}`, { isBad: true, sql, request });
  }

  checkpointed({ mode, durationMs, busy }: CheckpointEvent): void {
    const kept = busy ? ', kept from its end by a reader or a writer,' : '';
    this.events.add('checkpoint', `Checkpoint (${mode})${kept}`, ` in ${inMs(durationMs)}`, { isBad: busy });
  }

  closed(): void {
    this.isClosed = true;
    this.events.add('close', 'The pool has closed');
  }
}

function inMs(ms: number | undefined): string {
  const known = Number(ms);
  return `${known < 10 ? known.toFixed(1) : String(Math.round(known))} ms`;
}
