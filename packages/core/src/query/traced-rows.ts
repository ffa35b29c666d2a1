import { AsyncLocalStorage } from 'node:async_hooks';
import { queryChannel } from '../diagnostics/events.ts';
import { traced, type QueryOperation } from '../diagnostics/operation.ts';
import type { Row } from '../driver.ts';

/**
 * Steps through the rows of a cursor as one call, which ends with its loop. An event for each row would cost more than
 * the row. A loop may stop without a word: then the call ends when its cursor is closed, with the lease at the latest.
 */
export async function* tracedRows(
  begin: () => QueryOperation,
  open: (operation: QueryOperation) => AsyncIterator<Row>,
): AsyncGenerator<Row, void, undefined> {
  const operation = begin();
  const loop = Promise.withResolvers<undefined>();
  // Each step runs where the call does, so that what it waits for is part of the call.
  let inside!: <T>(step: () => T) => T;
  const call = traced(queryChannel, operation, () => {
    inside = AsyncLocalStorage.snapshot();
    return loop.promise;
  });
  // The loop rejects with the same error.
  call.catch(() => undefined);
  operation.whenClosed(loop.reject);
  let count = 0;
  operation.returned(count, undefined);
  try {
    const rows = open(operation);
    const next = (): Promise<IteratorResult<Row, unknown>> => inside(() => rows.next());
    try {
      for (let step = await next(); step.done !== true; step = await next()) {
        operation.returned((count += 1), undefined);
        yield step.value;
      }
    } finally {
      await inside(() => rows.return?.());
    }
  } catch (error) {
    loop.reject(error);
    throw error;
  } finally {
    loop.resolve(undefined);
  }
}
