import { createHash } from 'node:crypto';
import type { Exchange } from '../pipeline.ts';

/** What changes the meaning of a request, or the form of its answer. */
const HEADERS = ['accept', 'content-encoding', 'content-type', 'prefer', 'range', 'range-unit'] as const;

/**
 * Tells one request from another under the same key: method, target, role, the headers that matter, body. As base64url. What the token may
 * do is for the gate to compare: a token says at most what it once was.
 */
export function fingerprint({ method, prefix, path, headers, caller }: Exchange, body: Buffer): string {
  const said = HEADERS.map((name) => headers[name] ?? null);
  return createHash('sha256')
    .update(JSON.stringify([method, prefix + path, caller?.role, ...said]))
    .update('\n')
    .update(body)
    .digest('base64url');
}
