import { access, readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { RECOMMENDED_PRAGMAS, type PoolOptions } from '../src/index.ts';
import { checkOptions, POOL_OPTIONS } from '../src/options.ts';
import { pluginSettings } from '../src/request/plugin-options.ts';

const ROOT = new URL('../../../', import.meta.url);

/** What is published, and what GitHub shows elsewhere, cannot link by a relative path. */
const ON_GITHUB = 'https://github.com/sqlite-pool/sqlite-pool/blob/main/';

/** Every page of the project, by path. */
async function pages(): Promise<Map<string, string>> {
  const docs = (await readdir(new URL('docs/', ROOT))).filter((name) => name.endsWith('.md'));
  const packages = await readdir(new URL('packages/', ROOT));
  const paths = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'SECURITY.md',
    'CODE_OF_CONDUCT.md',
    'benchmarks/README.md',
    'examples/README.md',
    ...packages.map((name) => `packages/${name}/README.md`),
    ...docs.map((name) => `docs/${name}`),
  ];
  const texts = paths.map(async (path) => [path, await readFile(new URL(path, ROOT), 'utf8')] as const);
  return new Map(await Promise.all(texts));
}

/** As GitHub makes them of headings. */
function anchorsOf(text: string): string[] {
  return Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** Whether a file of the repository exists, and the heading in it if the link names one. */
async function leadsSomewhere(url: URL, texts: ReadonlyMap<string, string>): Promise<boolean> {
  if (url.hash === '') {
    return await access(url).then(
      () => true,
      () => false,
    );
  }
  const linked = texts.get(url.pathname.slice(ROOT.pathname.length));
  return linked !== undefined && anchorsOf(linked).includes(url.hash.slice(1));
}

test('every link from one page to another leads to a page and a heading that exist', async () => {
  const texts = await pages();
  const broken: string[] = [];
  for (const [path, text] of texts) {
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) {
      if (!(await leadsSomewhere(new URL(target, new URL(path, ROOT)), texts))) {
        broken.push(`${path}: ${target}`);
      }
    }
  }
  expect(broken).toEqual([]);
});

test('every address of a file on GitHub leads to a file and a heading that exist', async () => {
  const texts = await pages();
  const others = [
    ...(await readdir(new URL('.github/', ROOT), { recursive: true })).map((name) => `.github/${name}`),
    ...(await readdir(new URL('packages/', ROOT))).flatMap((name) => [
      `packages/${name}/package.json`,
      `packages/${name}/CHANGELOG.md`,
    ]),
  ];
  const sources = new Map(texts);
  for (const path of others) {
    // Some are folders, and a new package has no changelog yet.
    sources.set(path, await readFile(new URL(path, ROOT), 'utf8').catch(() => ''));
  }
  const broken: string[] = [];
  let found = 0;
  for (const [path, text] of sources) {
    for (const [address] of text.matchAll(
      /https:\/\/github\.com\/sqlite-pool\/[\w-]+\/(?:blob|tree)\/[^\s)'"`]*/g,
    )) {
      found += 1;
      const isOurs = address.startsWith(ON_GITHUB);
      if (!isOurs || !(await leadsSomewhere(new URL(address.slice(ON_GITHUB.length), ROOT), texts))) {
        broken.push(`${path}: ${address}`);
      }
    }
  }
  expect(broken).toEqual([]);
  expect(found).toBeGreaterThan(45);
});

test('the table of PRAGMAs in docs/drivers.md is the recommended set', async () => {
  const text = (await pages()).get('docs/drivers.md') ?? '';
  const section = text.slice(text.indexOf('### PRAGMAs'), text.indexOf('### What it cannot do'));
  const rows = Array.from(section.matchAll(/^\| `(\w+)` \| ([^|]*) \|/gm), ([, name, value]) => [
    name,
    value,
  ]);
  const recommended = Object.entries(RECOMMENDED_PRAGMAS).map(([name, value]) => [
    name,
    value === true ? 'ON' : String(value),
  ]);
  expect(rows).toEqual(recommended);
});

test('no page has a placeholder left in it', async () => {
  const left: string[] = [];
  for (const [path, text] of await pages()) {
    for (const [placeholder] of text.matchAll(/@[A-Z]+@/g)) left.push(`${path}: ${placeholder}`);
  }
  expect(left).toEqual([]);
});

test('the table of rooms in docs/architecture.md is the list that the imports are checked with', async () => {
  const text = (await pages()).get('docs/architecture.md') ?? '';
  const start = text.indexOf('| room |');
  const table = text.slice(start, text.indexOf('\n\n', start));
  const rows = Array.from(table.matchAll(/^\| `([^`]*)` \|/gm), ([, name]) => name);
  const config = await readFile(new URL('.dependency-cruiser.cjs', ROOT), 'utf8');
  const list = config.slice(0, config.indexOf('];'));
  const rooms = Array.from(list.matchAll(/'([a-z-]+)'/g), ([, name]) => name);
  expect(rooms.length).toBeGreaterThan(10);
  expect(rows).toEqual(rooms);
});

test('docs/architecture.md names the optional peer dependencies of core', async () => {
  const manifest = await readFile(new URL('packages/core/package.json', ROOT), 'utf8');
  const { peerDependencies } = JSON.parse(manifest) as { peerDependencies: Record<string, string> };
  const [beginning = ''] = ((await pages()).get('docs/architecture.md') ?? '').split('\n## ');
  const names = Object.keys(peerDependencies);
  expect(names.filter((name) => !beginning.includes(`\`${name}\``))).toEqual([]);
  expect(names).toHaveLength(5);
});

test('each folder of core has a README', async () => {
  const source = new URL('packages/core/src/', ROOT);
  const folders = (await readdir(source, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  expect(folders.length).toBeGreaterThan(10);
  for (const { name } of folders) {
    const readme = await readFile(new URL(`${name}/README.md`, source), 'utf8');
    expect(readme.split('\n')[0], name).toBe(`# ${name}`);
  }
});

interface Documented {
  readonly name: string;
  readonly type: string;
  readonly fallback: string;
}

/** The rows of the tables below a heading of docs/options.md, up to the next one of that level. */
async function documentedOptions(heading: string): Promise<Documented[]> {
  const text = (await pages()).get('docs/options.md') ?? '';
  const [, section = ''] = text.split(`\n## ${heading}\n`);
  const [tables = ''] = section.split('\n## ');
  return Array.from(
    tables.matchAll(/^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$/gm),
    ([, name = '', type = '', fallback = '']) => ({ name, type, fallback }),
  );
}

const TIERS = ['Essential', 'Often', 'Rarely'] as const;

/** As the tables have it. */
function asText(value: unknown): string {
  if (value === Infinity) return 'no limit';
  if (typeof value === 'number') return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
  return `\`${String(value)}\``;
}

function isTaken(options: unknown): boolean {
  try {
    // What JavaScript callers can pass.
    checkOptions(options as PoolOptions);
    return true;
  } catch {
    return false;
  }
}

test('docs/options.md has every option of a pool once, the essential ones first', async () => {
  const [essential, often, rarely] = await Promise.all(TIERS.map(documentedOptions));
  const names = [essential, often, rarely].flatMap((tier = []) => tier.map(({ name }) => name));
  expect([...names].sort()).toEqual([...POOL_OPTIONS].sort());
  expect(essential?.map(({ name }) => name)).toEqual([
    'filename',
    'driver',
    'poolSize',
    'acquireTimeoutMs',
    'statementTimeoutMs',
  ]);
});

test('docs/options.md has the default of each option, and says where null means no limit', async () => {
  const {
    driver: _driver,
    clock: _clock,
    onConnect,
    poolName,
    logger,
    ...settings
  } = checkOptions({ filename: 'app.db' });
  const options = (await Promise.all(TIERS.map(documentedOptions))).flat();
  const documented = Object.fromEntries(options.map(({ name, fallback }) => [name, fallback]));
  const defaults = Object.entries(settings).map(([name, value]) => [name, asText(value)]);
  expect(documented).toMatchObject(Object.fromEntries(defaults));
  expect({ onConnect, poolName, logger }).toEqual({
    onConnect: undefined,
    poolName: 'app.db',
    logger: undefined,
  });
  expect(documented).toMatchObject({
    onConnect: 'none',
    poolName: 'the name of the database',
    logger: 'warnings of the process',
  });
  for (const { name, type } of options) {
    if (!type.startsWith('number') || !(name in settings)) continue;
    const takesNull = isTaken({ filename: 'app.db', [name]: null });
    expect(`${name}: ${String(type.includes('`null`'))}`).toBe(`${name}: ${String(takesNull)}`);
  }
});

test("docs/options.md has the plugins' own options, and their defaults", async () => {
  const own: Readonly<Record<string, string>> = Object.fromEntries(
    (await documentedOptions('Plugins')).map(({ name, fallback }) => [name, fallback]),
  );
  const source = await readFile(new URL('packages/core/src/request/plugin-options.ts', ROOT), 'utf8');
  const [, list = ''] = /OWN_OPTIONS[^[]*\[([^\]]*)\]/.exec(source) ?? [];
  const known = Array.from(list.matchAll(/'(\w+)'/g), ([, name]) => name);
  expect(Object.keys(own).sort()).toEqual(known.sort());
  const { mode, name, disconnectGraceMs } = pluginSettings({ filename: 'app.db' });
  expect(own).toMatchObject({
    lease: `\`'${mode}'\``,
    name: `\`'${name}'\``,
    disconnectGraceMs: asText(disconnectGraceMs),
  });
  expect(own).toMatchObject({ pool: 'none', closePool: '`false`' });
});

test.each([
  'README.md',
  ...['core', 'fastify', 'hono', 'express'].map((name) => `packages/${name}/README.md`),
])('%s has no second table of options, and leads to the one there is', async (path) => {
  const text = (await pages()).get(path) ?? '';
  expect(text).toMatch(/docs\/options\.md[)#]/);
  expect(text).not.toMatch(/^\| option \|/m);
});

test.each(['fastify', 'hono', 'express'])('the README of %s has every query method', async (name) => {
  const text = (await pages()).get(`packages/${name}/README.md`) ?? '';
  const methods = ['get', 'all', 'run', 'execute', 'iterate', 'batch', 'script', 'transaction'];
  const sentence = /has the query methods [^;.]*/.exec(text)?.[0] ?? '';
  expect(methods.filter((method) => !sentence.includes(`\`${method}\``))).toEqual([]);
});
