import { createHmac, createPrivateKey, createPublicKey, type KeyObject, sign as signWith } from 'node:crypto';
import { RowhouseError } from '../../../errors.ts';

/** Standard Webhooks 1.0: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. */

export type SigningSecret =
  | { kind: 'hmac'; key: Uint8Array }
  /** key: the seed of RFC 8032, 32 bytes. */
  | { kind: 'ed25519'; key: Uint8Array };

const SEED_BYTES = 32;
/** RFC 8410: the PKCS #8 form of a seed is these bytes and the seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const HMAC_BYTES = { least: 24, most: 64 };

/** By the array that holds the seed: opened secrets are kept, and importing one costs as much as signing. */
const privateKeys = new WeakMap<Uint8Array, KeyObject>();

function privateKeyOf(seed: Uint8Array): KeyObject {
  const known = privateKeys.get(seed);
  if (known) return known;
  if (seed.length !== SEED_BYTES) throw new RangeError(`an ed25519 seed has ${SEED_BYTES} bytes, not ${seed.length}`);
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  privateKeys.set(seed, key);
  return key;
}

function publicBytes(seed: Uint8Array): Buffer {
  const { x = '' } = createPublicKey(privateKeyOf(seed)).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url');
}

function base64(...parts: Uint8Array[]): string {
  return Buffer.concat(parts).toString('base64');
}

/**
 * The value of `webhook-signature`: one signature for each live secret, in their order, so that a receiver that knows any of them
 * accepts the message (rotation).
 * @param id of the message, the same in each attempt; without full stops, which separate the parts of what is signed
 * @param timestamp of the attempt, in unix seconds
 */
export function sign(id: string, timestamp: number, body: string, secrets: readonly SigningSecret[]): string {
  if (id === '' || id.includes('.')) throw new RangeError('the id of a message has no full stop and is not empty');
  if (!Number.isSafeInteger(timestamp)) throw new RangeError('the timestamp is in whole seconds');
  if (secrets.length === 0) throw new RangeError('a message is signed with one secret at the least');
  const content = `${id}.${timestamp}.${body}`;
  return secrets
    .map(({ kind, key }) =>
      kind === 'hmac'
        ? `v1,${createHmac('sha256', key).update(content).digest('base64')}`
        : `v1a,${signWith(null, Buffer.from(content), privateKeyOf(key)).toString('base64')}`,
    )
    .join(' ');
}

/** What a receiver verifies `v1a` with: `whpk_` and the base64 of the 32 bytes of the public key. */
export function publicKeyOf(seed: Uint8Array): string {
  return `whpk_${base64(publicBytes(seed))}`;
}

/**
 * A secret as text: `whsec_` and base64, or `whsk_` and the base64 of seed and public key, 64 bytes, as Svix's server (the
 * reference for `v1a`) and libsodium have it.
 */
export function formatSecret({ kind, key }: SigningSecret): string {
  return kind === 'hmac' ? `whsec_${base64(key)}` : `whsk_${base64(key, publicBytes(key))}`;
}

/**
 * The secret that a text stands for. Takes `whsk_` with the seed alone, too: other senders write that.
 * @throws RowhouseError config_invalid
 */
export function parseSecret(text: string): SigningSecret {
  const invalid = (hint: string) => new RowhouseError('config_invalid', { detail: 'No webhook secret.', hint });
  const [, prefix, encoded = ''] = /^(whsec|whsk)_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  if (!prefix) throw invalid('A secret is whsec_ or whsk_ followed by base64.');
  const key = Buffer.from(encoded, 'base64');
  if (prefix === 'whsec') {
    if (key.length < HMAC_BYTES.least || key.length > HMAC_BYTES.most) {
      throw invalid(`A whsec_ secret has ${HMAC_BYTES.least} to ${HMAC_BYTES.most} bytes; this one has ${key.length}.`);
    }
    return { kind: 'hmac', key };
  }
  const seed = key.subarray(0, SEED_BYTES);
  const given = key.subarray(SEED_BYTES);
  if (seed.length < SEED_BYTES || (given.length > 0 && !given.equals(publicBytes(seed)))) {
    throw invalid('A whsk_ secret is a seed of 32 bytes, or that and its own public key.');
  }
  return { kind: 'ed25519', key: seed };
}
