import type { QueryEvent } from '@sqlite-pool/core/channels';
import type { Groups } from '../state.ts';

/** The largest size that each bucket takes. */
const EDGES = [1, 2, 4, 8, 16, 32, 64, Infinity];

/** The sizes of the groups in which single writes shared a COMMIT. */
export class GroupSizes {
  readonly #writes = EDGES.map(() => 0);
  #total = 0;
  #commits = 0;

  add({ kind, inTransaction, error, groupSize, method }: QueryEvent): void {
    if (kind !== 'write' || inTransaction || error !== undefined || method === 'script') return;
    const bucket = EDGES.findIndex((edge) => groupSize <= edge);
    this.#writes[bucket] = Number(this.#writes[bucket]) + 1;
    this.#total += 1;
    // Each of the n writes of a group adds its share of one COMMIT.
    this.#commits += 1 / groupSize;
  }

  state(): Groups {
    const sizes = EDGES.map((edge, index) => ({
      from: (EDGES[index - 1] ?? 0) + 1,
      to: edge === Infinity ? null : edge,
      writes: Number(this.#writes[index]),
    }));
    return { sizes, writes: this.#total, commits: Math.round(this.#commits) };
  }
}
