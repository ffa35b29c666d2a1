import { seededFile } from '../src/data.ts';

/** Before all test files, which would seed the same file together. */
export default async function setup(): Promise<void> {
  await seededFile('tiny');
}
