import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { inTime, onBench, type DriverCase } from './bench.ts';

/** Cases that make more than one driver. */
export const FILE_CASES: readonly DriverCase[] = [
  {
    title: 'F60 names one file the same, whatever path leads to it, and another file differently',
    run: (openDriver) =>
      onBench(openDriver, async ({ directory, driver, connect }) => {
        if (driver.databaseId === undefined) return;
        await mkdir(join(directory, 'sub'));
        await symlink(join(directory, 'app.db'), join(directory, 'link.db'));
        const id = await driver.databaseId();
        for (const path of [join(directory, 'link.db'), `${directory}/sub/../app.db`]) {
          const other = await openDriver(path);
          assert.equal(await other.databaseId?.(), id, path);
        }
        const another = await openDriver(join(directory, 'another.db'));
        await connect(another);
        assert.notEqual(await another.databaseId?.(), id);
      }),
  },
  {
    title: 'F08 rejects an open that cannot work, and does not hang',
    run: (openDriver) =>
      onBench(openDriver, async ({ directory }) => {
        const nowhere = await openDriver(join(directory, 'no', 'such', 'directory.db'));
        await assert.rejects(inTime(nowhere.open()), (error) => !(error instanceof assert.AssertionError));
      }),
  },
];
