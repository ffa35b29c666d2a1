import { join } from 'node:path';
import { it } from 'vitest';
import { tryNotesExample } from '../../../conformance/readme-example.ts';

it("the README's example runs as it stands, and stops without leaving a WAL behind", async () => {
  await tryNotesExample(join(import.meta.dirname, '..'));
});
