/**
 * Runs the install script of the sqlite3 package, which only tests and benchmarks need, if that was not done yet: it downloads or
 * compiles the native part. No installation does it, so that neither an application nor a bare clone needs a compiler.
 */
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const core = join(import.meta.dirname, '..', 'packages', 'core');
const require = createRequire(join(core, 'package.json'));

if (!loads()) {
  console.log(
    'Compiling the sqlite3 package for its tests, once. That takes minutes, and python3, make and a C++ compiler.',
  );
  const cwd = realpathSync(dirname(require.resolve('sqlite3/package.json')));
  const began = performance.now();
  // npm, because it hands its configuration (nodedir, a proxy) to node-gyp.
  const { status } = spawnSync('npm run install', {
    cwd,
    shell: true,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0 || !loads()) {
    console.error('The sqlite3 package could not be built, and its tests cannot run.');
    process.exit(1);
  }
  console.log(`sqlite3 is built, in ${String(Math.round((performance.now() - began) / 1000))} s.`);
}

/** In another process: what was missing here stays missing. */
function loads(): boolean {
  const load = `require(${JSON.stringify(require.resolve('sqlite3/package.json').replace(/package\.json$/, ''))})`;
  return spawnSync(process.execPath, ['-e', load], { stdio: 'ignore' }).status === 0;
}
