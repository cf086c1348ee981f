import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import type { Received } from './receiver.ts';

/** Of the entries of `webhook-signature`, in their order. */
export const schemesOf = ({ headers }: Received): string[] =>
  (headers['webhook-signature'] ?? '').split(' ').map((entry) => entry.split(',')[0] ?? '');

/** Node's own verification (RFC 8032): the library of the specification knows v1 alone. */
function acceptsPublic(key: string, { headers, raw }: Received): boolean {
  const x = Buffer.from(key.slice('whpk_'.length), 'base64').toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${raw}`);
  return (headers['webhook-signature'] ?? '')
    .split(' ')
    .map((entry) => entry.split(','))
    .some(([scheme, value = '']) => scheme === 'v1a' && verify(null, content, publicKey, Buffer.from(value, 'base64')));
}

function acceptsShared(secret: string, { headers, raw }: Received): boolean {
  try {
    new Webhook(secret).verify(raw, headers);
    return true;
  } catch {
    return false;
  }
}

/** What a receiver finds that knows this key: `whsec_…`, for v1, or `whpk_…`, for v1a. */
export const accepts = (key: string, request: Received): boolean =>
  key.startsWith('whpk_') ? acceptsPublic(key, request) : acceptsShared(key, request);
