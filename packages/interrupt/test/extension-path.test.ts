import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { extensionPath } from '../src/index.ts';

/** What a file of each platform begins with, and where it names its processor. */
const FORMATS = {
  'linux-x64.so': { magic: '7f454c46', at: () => 18, processor: 0x3e },
  'linux-arm64.so': { magic: '7f454c46', at: () => 18, processor: 0xb7 },
  'darwin-x64.dylib': { magic: 'cffaedfe', at: () => 4, processor: 0x0007 },
  'darwin-arm64.dylib': { magic: 'cffaedfe', at: () => 4, processor: 0x000c },
  'win32-x64.dll': { magic: '4d5a', at: afterPeSignature, processor: 0x8664 },
  'win32-arm64.dll': { magic: '4d5a', at: afterPeSignature, processor: 0xaa64 },
};

describe('extensionPath', () => {
  test.each(Object.entries(FORMATS))('%s is a library of that platform', (file, { magic, at, processor }) => {
    const [platform = '', arch = ''] = file.split('.', 1).join().split('-');
    const path = pathOn(platform, arch);
    expect(path && basename(path)).toBe(file);
    const bytes = readFileSync(path ?? '');
    expect(bytes.toString('hex', 0, magic.length / 2)).toBe(magic);
    expect(bytes.readUInt16LE(at(bytes))).toBe(processor);
  });

  test('is undefined on a platform that has no file', () => {
    expect(pathOn('freebsd', 'x64')).toBeUndefined();
    expect(pathOn('linux', 'riscv64')).toBeUndefined();
  });
});

function pathOn(platform: string, arch: string): string | undefined {
  const original = Object.getOwnPropertyDescriptors(process);
  onTestFinished(() => {
    Object.defineProperty(process, 'platform', original.platform);
    Object.defineProperty(process, 'arch', original.arch);
  });
  Object.defineProperty(process, 'platform', { ...original.platform, value: platform });
  Object.defineProperty(process, 'arch', { ...original.arch, value: arch });
  return extensionPath();
}

function afterPeSignature(bytes: Buffer): number {
  return bytes.readUInt32LE(0x3c) + 4;
}
