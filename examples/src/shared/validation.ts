import { z } from 'zod';

import { HttpError } from './errors.ts';

/** An id as JSON has it, and as a URL has it. */
const id = z.int().positive();
const idInUrl = z.coerce.number().pipe(id);

export const idParams = z.object({ id: idInUrl });

export const feedQuery = z.object({
  before: idInUrl.optional(),
  limit: z.coerce.number().int().min(1).max(50).default(20),
});

export const newComment = z.object({ userId: id, body: z.string().trim().min(1).max(2000) });

export const newLike = z.object({ userId: id });

/** Checks what a client sent; throws a 400 that says what is wrong with which field. */
export function parse<T extends z.ZodType>(type: T, input: unknown): z.output<T> {
  const { success, data, error } = type.safeParse(input);
  if (success) return data;
  throw new HttpError(400, error.issues.map(({ path, message }) => [...path, message].join(': ')).join('; '));
}
