import { STATUS_CODES } from 'node:http';

/** The client's mistake: its status and message go into the answer. */
export class HttpError extends Error {
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.name = 'HttpError';
    this.statusCode = statusCode;
  }
}

/** What a client reads of an error. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly message: string };
}

/** What frameworks and the pool put on their errors; Fastify says `statusCode`, Hono `status`, the others both. */
interface MaybeHttpError {
  readonly message: string;
  readonly statusCode?: number;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Makes an answer of any error: a client's mistake keeps its message, everything else becomes generic.
 *
 * An overloaded pool throws errors with the status 503 and a `Retry-After` header, which pass through here.
 */
export function answerTo(error: unknown): ErrorAnswer {
  const known = (error instanceof Error ? error : new Error()) as MaybeHttpError;
  const status = known.statusCode ?? known.status ?? 500;
  const message = status < 500 ? known.message : (STATUS_CODES[status] ?? 'Server Error');
  return { status, headers: known.headers ?? {}, body: { message } };
}
