/** The rooms of packages/core/src, the highest first: a file imports from its own room and from those below. See docs/architecture.md. */
const rooms = [
  ...[
    'testing',
    'index',
    'plugin',
    'opentelemetry',
    'prometheus',
    'telemetry',
    'channels',
    'request',
    'pool',
    'writing',
    'leasing',
    'database',
    'options',
    'connection',
  ],
  ...['engine', 'drivers', 'query', 'diagnostics', 'waiting', 'driver', 'driver-errors', 'errors'],
];

const core = '^packages/core/src/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...rooms.map((room, floor) => ({
      name: `core-${room}-imports-downward`,
      severity: 'error',
      from: { path: inRooms([room]) },
      to: { path: core, pathNot: inRooms(rooms.slice(floor)) },
    })),
    {
      name: 'core-file-is-in-a-room',
      severity: 'error',
      from: { path: core, pathNot: inRooms(rooms) },
      to: {},
    },
    {
      name: 'drivers-do-not-know-each-other',
      severity: 'error',
      from: { path: `${core}drivers/([^/]+)/` },
      to: { path: `${core}drivers/[^/]+/`, pathNot: `${core}drivers/$1/` },
    },
    {
      name: 'core-has-no-dependency',
      comment: 'A driver is loaded when it is needed, with `import()`.',
      severity: 'error',
      from: { path: core, pathNot: inRooms(['opentelemetry', 'prometheus']) },
      to: { pathNot: core, dependencyTypesNot: ['core'], dynamic: false },
    },
    ...Object.entries({ opentelemetry: '@opentelemetry/api', prometheus: 'prom-client' }).map(
      ([room, dependency]) => ({
        name: `core-${room}-has-one-dependency`,
        comment: 'An optional peer dependency: only who imports the entry needs it.',
        severity: 'error',
        from: { path: inRooms([room]) },
        to: {
          pathNot: [core, `/node_modules/${dependency}/`],
          dependencyTypesNot: ['core'],
          dynamic: false,
        },
      }),
    ),
    {
      name: 'core-loads-only-drivers',
      severity: 'error',
      from: { path: core },
      to: { pathNot: [core, '/node_modules/(sqlite3|ws)/'], dependencyTypesNot: ['core'], dynamic: true },
    },
    {
      name: 'plugins-do-not-know-each-other',
      severity: 'error',
      from: { path: '^packages/(?!core/)([^/]+)/' },
      to: { path: '^packages/', pathNot: '^packages/($1/|core/dist/)' },
    },
    {
      name: 'packages-do-not-know-what-uses-them',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: '^(examples|smoke|benchmarks)/' },
    },
    {
      name: 'source-does-not-import-tests',
      severity: 'error',
      from: { path: '/src/' },
      to: { path: ['/test/', '/node_modules/(vitest|supertest|fast-check)/'] },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-orphans',
      severity: 'error',
      from: {
        orphan: true,
        pathNot: [
          '\\.(config\\.ts|d\\.ts)$',
          '/test/.*/children/',
          // A page that is read as a text.
          '^examples/src/comparison/page/',
        ],
      },
      to: {},
    },
  ],
  options: {
    // Type imports count.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    exclude: { path: '/(coverage|reports|\\.turbo)/' },
    doNotFollow: { path: ['node_modules', '/dist/'] },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};

/** @param {string[]} names */
function inRooms(names) {
  return `${core}(${names.join('|')})(/|\\.ts$)`;
}
