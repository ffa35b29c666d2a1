import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * Compiles interrupt.c for all platforms, on any Linux with the one compiler whose bytes are in prebuilt/:
 *
 *     pnpm --filter @sqlite-pool/interrupt build:native
 *     pnpm --filter @sqlite-pool/interrupt check:reproducible    compares instead, and is part of pnpm check
 */
const COMPILER = 'Debian clang version 14.0.6';
const LINKER = 'Debian LLD 14.0.6';
const INSTALL = 'Debian 12 has both: apt-get install clang-14 lld-14';

/** SQLite's own headers: those of better-sqlite3, whose version and checksum the lock file pins. */
const headers = join(
  dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json')),
  'deps',
  'sqlite3',
);

const COMMON = [
  ...['-std=c11', '-Os', '-Wall', '-Wextra', '-Werror', `-I${headers}`],
  ...['-ffreestanding', '-nostdlib', '-nostdlibinc', '-fno-stack-protector'],
  // One symbol is exported, and nothing says when and where the file was built.
  ...['-fvisibility=hidden', '-fno-ident', '-fuse-ld=lld'],
  // Windows requires them of every function that calls another; elsewhere they serve debuggers.
  '-fasynchronous-unwind-tables',
];
const ELF = ['-fPIC', '-shared', '-Wl,-z,defs,-z,noexecstack,--build-id=none,--hash-style=both,--strip-all'];
// A bundle is what addons of Node.js are. Files for macOS 15.4 must link with libSystem, and those for arm64 be signed.
const MACH_O = ['-bundle', '-Wl,-adhoc_codesign', join(import.meta.dirname, 'libSystem.tbd')];
// /Brepro writes a hash where the time would be.
const PE = ['-shared', '-Wl,/noentry,/nodefaultlib,/Brepro'];

const TARGETS: Readonly<Record<string, readonly string[]>> = {
  'darwin-arm64.dylib': ['--target=arm64-apple-macos11', ...MACH_O],
  'darwin-x64.dylib': ['--target=x86_64-apple-macos11', ...MACH_O],
  // Or atomics become calls of libgcc, on a machine that has a libgcc for arm64.
  'linux-arm64.so': ['--target=aarch64-linux-gnu', '-mno-outline-atomics', ...ELF],
  'linux-x64.so': ['--target=x86_64-linux-gnu', ...ELF],
  'win32-arm64.dll': ['--target=aarch64-pc-windows-msvc', ...PE],
  'win32-x64.dll': ['--target=x86_64-pc-windows-msvc', ...PE],
};

const prebuilt = join(import.meta.dirname, '..', 'prebuilt');
const { check } = parseArgs({ options: { check: { type: 'boolean', default: false } } }).values;
process.exitCode = main();

function main(): number {
  const clang = ['clang-14', 'clang'].find((name) => versionOf(name) !== undefined);
  if (clang === undefined) {
    console.log(
      `The files of prebuilt/ are not ${check ? 'checked' : 'built'}: there is no clang. ${INSTALL}`,
    );
    return check ? 0 : 1;
  }
  const compiler = versionOf(clang) ?? '';
  const linker =
    versionOf(execFileSync(clang, ['--print-prog-name=ld.lld'], { encoding: 'utf8' }).trim()) ?? '';
  if (!compiler.startsWith(COMPILER) || !linker.startsWith(LINKER)) {
    console.error(
      `The files of prebuilt/ come from ${COMPILER} and ${LINKER}; others write other bytes. ` +
        `Found here: ${compiler} and ${linker === '' ? 'no ld.lld' : linker}. ${INSTALL}`,
    );
    return 1;
  }
  let different = 0;
  for (const [file, bytes] of compile(clang)) {
    const path = join(prebuilt, file);
    if (!check) {
      writeFileSync(path, bytes);
    } else if (!existsSync(path) || !readFileSync(path).equals(bytes)) {
      console.error(`prebuilt/${file} is not what interrupt.c compiles to: run build:native and commit it.`);
      different++;
    }
  }
  return different === 0 ? 0 : 1;
}

function versionOf(program: string): string | undefined {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' }).split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

function compile(clang: string): Map<string, Buffer> {
  const source = join(import.meta.dirname, 'interrupt.c');
  // Variables such as CPATH and SDKROOT stay out of it.
  const env = { PATH: process.env['PATH'] };
  const folder = mkdtempSync(join(tmpdir(), 'sqlite-pool-'));
  try {
    // In that folder, and without its path: Mach-O and PE contain the name that they are written to.
    const compiled = Object.entries(TARGETS).map(([file, options]): [string, Buffer] => {
      execFileSync(clang, [...COMMON, ...options, source, '-o', file], {
        cwd: folder,
        env,
        stdio: 'inherit',
      });
      return [file, readFileSync(join(folder, file))];
    });
    return new Map(compiled);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
