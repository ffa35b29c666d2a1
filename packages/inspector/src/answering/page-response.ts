import { createHash } from 'node:crypto';
import { PAGE } from '../page.ts';
import type { InspectorResponse } from '../options.ts';

/** What every answer has: it may name routes and statements, which no cache and no other site should have. */
const PRIVATE: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

/** Only the two inlined texts may run, nothing may be loaded from elsewhere, and no text can become HTML. */
const POLICY: string = [
  "default-src 'none'",
  `script-src ${hashOf(PAGE.js)}`,
  `style-src ${hashOf(PAGE.css)}`,
  "connect-src 'self'",
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HTML: string = PAGE.html
  .replace('<!-- style -->', () => `<style>${PAGE.css}</style>`)
  .replace('<!-- script -->', () => `<script type="module">${PAGE.js}</script>`);

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

export function pageResponse(): InspectorResponse {
  return respond(200, 'text/html; charset=utf-8', HTML, { 'content-security-policy': POLICY });
}

export function jsonResponse(value: object): InspectorResponse {
  return respond(200, 'application/json; charset=utf-8', JSON.stringify(value));
}

export function textResponse(
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): InspectorResponse {
  return respond(status, 'text/plain; charset=utf-8', `${text}\n`, headers);
}

function respond(
  status: number,
  type: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): InspectorResponse {
  return {
    status,
    headers: {
      'content-type': type,
      'content-security-policy': "default-src 'none'",
      ...PRIVATE,
      ...headers,
    },
    body,
  };
}
