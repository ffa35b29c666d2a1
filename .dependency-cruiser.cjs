/**
 * The layers of packages/core/src, the highest first; docs/architecture.md explains them. A file imports only from
 * layers below its own. Files of one layer never import each other, types included; `siblings` excepts a layer.
 *
 * @type {{ files: string[], siblings?: boolean }[]}
 */
const layers = [
  { files: ['testing/**'], siblings: true },
  { files: ['index.ts'] },
  { files: ['plugin-handle.ts'] },
  { files: ['plugin-options.ts', 'server-close.ts'] },
  { files: ['request-transaction.ts'] },
  { files: ['request-lease.ts'] },
  { files: ['held-response.ts', 'request-connection.ts', 'response-events.ts'] },
  { files: ['pool.ts'] },
  { files: ['group-commit.ts'] },
  { files: ['lending.ts'] },
  { files: ['leases.ts', 'database.ts', 'housekeeping.ts', 'wal-care.ts'] },
  { files: ['lease.ts'] },
  { files: ['transaction.ts'] },
  { files: ['session.ts'] },
  { files: ['shared-commit.ts'] },
  { files: ['group.ts', 'statements.ts'] },
  { files: ['busy-wait.ts', 'cursors.ts', 'outcome.ts', 'write-turn.ts'] },
  { files: ['call-queue.ts', 'resource-pool.ts', 'shared-file.ts'] },
  { files: ['entries.ts', 'gate.ts', 'limits.ts', 'transaction-state.ts'] },
  { files: ['wait-queue.ts'] },
  { files: ['options.ts'] },
  { files: ['checkpoint.ts', 'drivers/sqlite3.ts', 'node-sqlite.ts', 'better-sqlite3.ts'] },
  { files: ['drivers/worker/driver.ts'] },
  { files: ['drivers/worker/opener.ts'] },
  { files: ['drivers/worker/connection.ts'] },
  { files: ['drivers/worker/lines.ts', 'drivers/worker/own-line.ts', 'drivers/worker/threads.ts'] },
  { files: ['drivers/worker/handle.ts', 'drivers/worker/spare-threads.ts'] },
  { files: ['drivers/worker/line.ts'] },
  { files: ['drivers/worker/thread.ts', 'drivers/worker/describe.ts', 'drivers/worker/placement.ts'] },
  {
    files: [
      'drivers/worker/code.ts',
      'drivers/worker/errors.ts',
      'drivers/worker/interrupter.ts',
      'drivers/worker/inside/main.ts',
    ],
  },
  { files: ['drivers/worker/inside/work.ts'] },
  { files: ['drivers/worker/inside/host.ts'] },
  { files: ['drivers/worker/inside/batch.ts'] },
  { files: ['drivers/worker/inside/database.ts', 'drivers/worker/inside/errors.ts'] },
  { files: ['drivers/worker/inside/bindings.ts'] },
  { files: ['drivers/worker/answers.ts'] },
  { files: ['drivers/worker/calls.ts'] },
  { files: ['drivers/worker/codec.ts', 'drivers/worker/protocol.ts', 'drivers/database-file.ts'] },
  { files: ['drivers/sqlite3-connection.ts'] },
  { files: ['drivers/sqlite3-calls.ts', 'drivers/completed-connection.ts'] },
  {
    files: [
      'drivers/deferred-constraints.ts',
      'drivers/install-command.ts',
      'drivers/open-error.ts',
      'drivers/pragmas.ts',
      'drivers/sqlite3-columns.ts',
      'drivers/sqlite3-values.ts',
      'drivers/statement-cache.ts',
      'drivers/threads.ts',
    ],
  },
  { files: ['drivers/estimates.ts', 'drivers/sqlite3-package.ts'] },
  { files: ['queryable.ts'] },
  { files: ['parameters.ts'] },
  { files: ['sql.ts', 'stats.ts', 'deadline.ts'] },
  { files: ['driver.ts', 'driver-errors.ts'] },
  { files: ['errors.ts', 'linked-list.ts', 'rejections.ts'] },
];

const core = '^packages/core/src/';
const anyLayer = pattern(layers.flatMap((layer) => layer.files));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layers.map((layer, index) => ({
      name: `core-layer-${index + 1}-imports-only-downward`,
      comment: `${layer.files.join(', ')} may import only from: ${below(index).join(', ') || 'nothing'}`,
      severity: 'error',
      from: { path: pattern(layer.files) },
      to: { path: core, pathNot: pattern([...below(index), ...(layer.siblings ? layer.files : [])]) },
    })),
    {
      name: 'core-file-is-in-no-layer',
      comment: 'Add the file to `layers` in .dependency-cruiser.cjs.',
      severity: 'error',
      from: {},
      to: { path: core, pathNot: anyLayer },
    },
    {
      name: 'core-file-is-in-no-layer-either',
      comment: 'Add the file to `layers` in .dependency-cruiser.cjs.',
      severity: 'error',
      from: { path: core, pathNot: anyLayer },
      to: {},
    },
    {
      name: 'core-has-no-dependency',
      comment: 'A driver is loaded when it is needed, with `import()`.',
      severity: 'error',
      from: { path: core },
      to: { pathNot: core, dependencyTypesNot: ['core'], dynamic: false },
    },
    {
      name: 'core-loads-only-drivers',
      severity: 'error',
      from: { path: core },
      to: { pathNot: [core, '/node_modules/sqlite3/'], dependencyTypesNot: ['core'], dynamic: true },
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
      from: { orphan: true, pathNot: ['\\.(config\\.ts|d\\.ts)$', '/test/.*/children/'] },
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

/** @param {number} index */
function below(index) {
  return layers.slice(index + 1).flatMap((layer) => layer.files);
}

/**
 * @param {string[]} files
 * @returns {string}
 */
function pattern(files) {
  const alternatives = files.map((file) => file.replaceAll('.', '\\.').replace('**', '.+'));
  return alternatives.length === 0 ? '^$' : `${core}(${alternatives.join('|')})$`;
}
