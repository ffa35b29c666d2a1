import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findInterrupter } from '../../../src/drivers/worker/interrupter.ts';
import { fromDriver } from '../../../src/driver-errors.ts';
import { shareOf } from '../../share.ts';
import { BINDING_SOURCES, connect, newFile, read } from './helpers.ts';
import { findHere, interruptibleDriver, interruptMany } from './interrupts.ts';

const ENDLESS = 'WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c';

// It is an optional package, and not every platform has it.
const missing = (await findHere({ name: 'node:sqlite' })) === undefined;

const INTERRUPTIBLE = BINDING_SOURCES.map((binding) => [binding.name, interruptibleDriver(binding)] as const);

test('there is none where the package is missing, or has nothing for this platform', async () => {
  const binding = { name: 'node:sqlite' } as const;
  expect(await findInterrupter(binding, () => Promise.reject(new Error('not found')))).toBeUndefined();
  expect(
    await findInterrupter(binding, () => Promise.resolve({ extensionPath: () => undefined })),
  ).toBeUndefined();
  const found = await findInterrupter(binding, () =>
    Promise.resolve({ extensionPath: () => '/an/extension' }),
  );
  expect(found).toMatchObject({ extension: '/an/extension' });
});

describe.skipIf(missing).for(INTERRUPTIBLE)('with the driver %s', ([name, make]) => {
  test('F40 a statement that runs is interrupted, and its connection goes on', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    const connection = await connect(driver);
    const other = await connect(driver);
    for (let n = 0; n < 5; n += 1) {
      const running = read(connection, ENDLESS).catch((error: unknown) => fromDriver(error));
      const state = { ended: false };
      void running.then(() => (state.ended = true));
      while (!state.ended) {
        await new Promise(setImmediate);
        // Of another connection, which has nothing running.
        other.interrupt?.();
        connection.interrupt?.();
      }
      expect(await running).toMatchObject({ sqliteCode: 'SQLITE_INTERRUPT' });
      expect((await read(connection, 'SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    }
  });

  test('F40 an interrupt stops the call that it is meant for, or none, on a handle that many share', async () => {
    const driver = make({ filename: await newFile(), threads: 1 });
    // The same each time.
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    expect(await interruptMany(driver, shareOf(300), random)).toBeGreaterThan(0);
  });

  test('an endless statement does not keep the process from ending', async () => {
    const script = fileURLToPath(new URL('./children/idle.ts', import.meta.url));
    const child = spawn(process.execPath, [script, name, 'endless'], { stdio: 'ignore' });
    expect(await once(child, 'exit')).toEqual([4, null]);
  });
});
