import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * The pages of the examples. They look like the inspector and have the same policy, but share no file with it: the inspector is
 * published with its page inside, and an example has only what an application can have.
 *
 * @module
 */

/** A page, ready for any framework. */
export interface Page {
  readonly headers: Readonly<Record<string, string>>;
  readonly html: string;
}

/** Every answer has these: it is for this site only, and it is what it says it is. */
export const PRIVATE: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
};

/** Reads a file that lies beside the module `from`. */
export const beside = (from: string, file: string): string => readFileSync(new URL(file, from), 'utf8');

const STYLE = beside(import.meta.url, 'style.css');

/**
 * Puts a page together from its title, its HTML, and what it has besides the common style.
 *
 * The policy names the two texts that are inlined by their hashes. So nothing else runs, and nothing is loaded.
 */
export function page(parts: { title: string; body: string; style?: string; script?: string }): Page {
  const style = STYLE + (parts.style ?? '');
  const { script } = parts;
  const policy = [
    "default-src 'none'",
    `style-src ${hashOf(style)}`,
    ...(script === undefined ? [] : [`script-src ${hashOf(script)}`, "connect-src 'self'"]),
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
  return {
    headers: { ...PRIVATE, 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy },
    html: `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(parts.title)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
${parts.body}
${script === undefined ? '' : `<script type="module">${script}</script>`}
</body>
</html>
`,
  };
}

/** Makes a text harmless inside an element and inside an attribute with double quotes. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
