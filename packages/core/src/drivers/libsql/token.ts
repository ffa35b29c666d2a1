import { InvalidArgumentError, OpenError } from '../../errors.ts';

/** Before a token expires another one is asked for, in milliseconds. */
const AHEAD_MS = 30_000;

/** A source that gives expired tokens is not asked at each call, in milliseconds. */
const LEAST_RENEWAL_MS = 1000;

/** Gives tokens; `undefined` where none is needed. Rejects with an `OpenError` if there is none to be had. */
export type TokenSource = () => Promise<string | undefined>;

/** The tokens of the option `authToken`. */
export function tokenSource(authToken: unknown): TokenSource {
  if (authToken === undefined) return () => Promise.resolve(undefined);
  if (typeof authToken !== 'string' && typeof authToken !== 'function')
    throw new InvalidArgumentError('Option authToken must be a string, or a function that returns one.');
  return async () => {
    const token: unknown =
      typeof authToken === 'function' ? await ask(authToken as () => unknown) : authToken;
    if (typeof token === 'string' && token !== '') return token;
    throw new InvalidArgumentError('Option authToken gave no token: it must be a string that is not empty.');
  };
}

async function ask(authToken: () => unknown): Promise<unknown> {
  try {
    return await authToken();
  } catch (error) {
    throw new OpenError(
      'not-permitted',
      'The function authToken has failed (details in error.cause).',
      error,
    );
  }
}

/** When another token should be asked for, in milliseconds of the time of day; `Infinity` if this one says nothing. */
export function renewalOf(token: string | undefined): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString());
    const { exp } = claims as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 - AHEAD_MS : Infinity;
  } catch {
    return Infinity;
  }
}

/** The same after a token was asked for again; a source without another one is not asked any more. */
export function nextRenewal(token: string | undefined): number {
  return token === undefined ? Infinity : Math.max(renewalOf(token), Date.now() + LEAST_RENEWAL_MS);
}
