import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import {
  formatSecret,
  parseSecret,
  publicKeyOf,
  type SigningSecret,
  sign,
} from '../../functions/worker/webhooks/outgoing/signature.ts';

const ID = 'evt_4711';
const BODY = '{"type":"app.jobs.updated","data":{"name":"Zoë"}}';

const hmac = (): SigningSecret => ({ kind: 'hmac', key: randomBytes(32) });
const ed25519 = (): SigningSecret => ({ kind: 'ed25519', key: randomBytes(32) });
const now = () => Math.floor(Date.now() / 1000);

/** What a receiver does that has the shared secret, with the library of the specification. */
function acceptsShared(secret: SigningSecret, signature: string, timestamp: number, body = BODY): boolean {
  const headers = { 'webhook-id': ID, 'webhook-timestamp': String(timestamp), 'webhook-signature': signature };
  try {
    new Webhook(formatSecret(secret)).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

/** What a receiver does that has the public key alone: the library knows v1 only, so Node's own verification (RFC 8032). */
function acceptsPublic(publicKey: string, signature: string, timestamp: number, body = BODY): boolean {
  const x = Buffer.from(publicKey.replace(/^whpk_/, ''), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  const content = Buffer.from(`${ID}.${timestamp}.${body}`);
  return signature
    .split(' ')
    .map((entry) => entry.split(','))
    .some(([scheme, value = '']) => scheme === 'v1a' && verify(null, content, key, Buffer.from(value, 'base64')));
}

describe('the signature', () => {
  test('is the one that the library of the specification makes', () => {
    const secret = parseSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
    const signature = sign('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}', [secret]);
    expect(signature).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  });

  test("is the one that Svix's server, the reference for ed25519, makes", () => {
    const secret = parseSecret(
      'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==',
    );
    const signature = sign('msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}', [secret]);
    expect(signature).toBe(
      'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
    );
    expect(publicKeyOf(secret.key)).toBe('whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=');
  });

  test('is accepted by holders of the old and of the new shared secret while it is rotated', () => {
    const [before, after, other] = [hmac(), hmac(), hmac()];
    const at = now();
    const during = sign(ID, at, BODY, [after, before]);
    expect(during.split(' ')).toHaveLength(2);
    expect([acceptsShared(before, during, at), acceptsShared(after, during, at)]).toEqual([true, true]);
    expect(acceptsShared(other, during, at)).toBe(false);
    const afterwards = sign(ID, at, BODY, [after]);
    expect([acceptsShared(before, afterwards, at), acceptsShared(after, afterwards, at)]).toEqual([false, true]);
  });

  test('is accepted by holders of the old and of the new public key while the key is rotated', () => {
    const [before, after, other] = [ed25519(), ed25519(), ed25519()];
    const at = now();
    const during = sign(ID, at, BODY, [after, before]);
    const accepted = (secret: SigningSecret) => acceptsPublic(publicKeyOf(secret.key), during, at);
    expect([accepted(before), accepted(after), accepted(other)]).toEqual([true, true, false]);
  });

  test('carries both schemes for an endpoint that goes from one to the other', () => {
    const [shared, pair] = [hmac(), ed25519()];
    const at = now();
    const signature = sign(ID, at, BODY, [pair, shared]);
    expect(signature).toMatch(/^v1a,[A-Za-z0-9+/]{86}== v1,[A-Za-z0-9+/]{43}=$/);
    expect(acceptsShared(shared, signature, at)).toBe(true);
    expect(acceptsPublic(publicKeyOf(pair.key), signature, at)).toBe(true);
  });

  test('covers id, time and body', () => {
    const [shared, pair] = [hmac(), ed25519()];
    const at = now();
    const signature = sign(ID, at, BODY, [shared, pair]);
    for (const [time, body] of [
      [at + 1, BODY],
      [at, `${BODY} `],
    ] as const) {
      expect(acceptsShared(shared, signature, time, body)).toBe(false);
      expect(acceptsPublic(publicKeyOf(pair.key), signature, time, body)).toBe(false);
    }
    expect(sign('evt_4712', at, BODY, [shared, pair])).not.toBe(signature);
  });

  test('is refused for what could be read in two ways, or with nothing to sign with', () => {
    expect(() => sign('evt.1', 1, BODY, [hmac()])).toThrow(RangeError);
    expect(() => sign('', 1, BODY, [hmac()])).toThrow(RangeError);
    expect(() => sign(ID, 1.5, BODY, [hmac()])).toThrow(RangeError);
    expect(() => sign(ID, 1, BODY, [])).toThrow(RangeError);
    expect(() => sign(ID, 1, BODY, [{ kind: 'ed25519', key: randomBytes(31) }])).toThrow(RangeError);
  });
});

describe('a secret as text', () => {
  test('is read as it was written', () => {
    for (const secret of [hmac(), ed25519()]) {
      const text = formatSecret(secret);
      expect(Buffer.from(parseSecret(text).key)).toEqual(secret.key);
      expect(text).toMatch(secret.kind === 'hmac' ? /^whsec_.{44}$/ : /^whsk_.{88}$/);
    }
  });

  test('of ed25519 may be the seed alone', () => {
    const seed = randomBytes(32);
    expect(parseSecret(`whsk_${seed.toString('base64')}`)).toEqual({ kind: 'ed25519', key: seed });
  });

  test.each([
    ['', 'empty'],
    [`whsec_${randomBytes(23).toString('base64')}`, 'too short'],
    [`whsec_${randomBytes(65).toString('base64')}`, 'too long'],
    ['whsec_not base64 at all, but long enough for it', 'not base64'],
    [randomBytes(32).toString('base64'), 'without prefix'],
    [`whpk_${randomBytes(32).toString('base64')}`, 'a public key'],
    [`whsk_${randomBytes(31).toString('base64')}`, 'a short seed'],
    [`whsk_${randomBytes(64).toString('base64')}`, "another key's public half"],
  ])('%s is refused: %s', (text) => {
    expect(() => parseSecret(text)).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });
});
