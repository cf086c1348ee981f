import { createPublicKey, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import type { Endpoint } from './model.ts';

/** What a receiver finds that knows the secrets of its endpoint and, where that signs with v1a as well, the public keys. */

function holdsShared(secret: string, headers: Record<string, string>, body: string): boolean {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

/** The library knows v1 alone. */
function holdsPublic(publicKey: string, headers: Record<string, string>, body: string): boolean {
  const x = Buffer.from(publicKey.slice('whpk_'.length), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  return (headers['webhook-signature'] ?? '')
    .split(' ')
    .filter((entry) => entry.startsWith('v1a,'))
    .some((entry) => verify(null, content, key, Buffer.from(entry.slice('v1a,'.length), 'base64')));
}

/** Whether each scheme has a signature of one of its keys: who knows the one of them may not need the other. */
export function isSigned(
  { secrets, publicKeys }: Pick<Endpoint, 'secrets' | 'publicKeys'>,
  headers: Record<string, string>,
  body: string,
): boolean {
  return (
    secrets.some((secret) => holdsShared(secret, headers, body)) &&
    (publicKeys.length === 0 || publicKeys.some((key) => holdsPublic(key, headers, body)))
  );
}
