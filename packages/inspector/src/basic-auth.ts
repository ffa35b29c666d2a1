import { InvalidArgumentError } from '@sqlite-pool/core';
import { createHash, timingSafeEqual } from 'node:crypto';
import type { InspectorRequest } from './options.ts';

/**
 * Makes an `auth` that asks for a name and a password (HTTP Basic). Use it only over HTTPS, or on one machine. Throws
 * `InvalidArgumentError` if one of the two is empty, as an environment variable that is not set.
 *
 * @param name Without a colon.
 * @example
 * createInspector({ pool, auth: basicAuth('admin', process.env.INSPECTOR_PASSWORD) });
 */
export function basicAuth(
  name: string | undefined,
  password: string | undefined,
): (request: InspectorRequest) => boolean {
  if (!name || name.includes(':')) throw new InvalidArgumentError('basicAuth needs a name without a colon.');
  if (!password) throw new InvalidArgumentError('basicAuth needs a password that is not empty.');
  const expected = digest(`${name}:${password}`);
  return ({ headers: { authorization } }) => {
    const [, credentials] = /^basic +([\w+/=-]+)$/i.exec(String(authorization)) ?? [];
    if (credentials === undefined) return false;
    return timingSafeEqual(digest(Buffer.from(credentials, 'base64').toString()), expected);
  };
}

/** Of the same length for every text, as a comparison in constant time needs it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
