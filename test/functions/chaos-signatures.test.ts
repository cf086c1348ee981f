import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Endpoint } from '../../chaos/events/model.ts';
import { receiptOf } from '../../chaos/events/receivers.ts';
import {
  formatSecret,
  publicKeyOf,
  type SigningSecret,
  sign,
} from '../../functions/worker/webhooks/outgoing/signature.ts';

// Whether a fault run would notice a signature that does not hold.

const ID = 'evt_17';
const BODY = JSON.stringify({ id: ID, type: 'chaos.ping', source: '/tenants/t_chaos0', subject: 's', data: {} });

const hmac = (): SigningSecret => ({ kind: 'hmac', key: randomBytes(32) });
const ed25519 = (): SigningSecret => ({ kind: 'ed25519', key: randomBytes(32) });
const [shared, pair, strange, strangePair] = [hmac(), ed25519(), hmac(), ed25519()];

const ONE: Endpoint = {
  tenant: 't_chaos0',
  id: 'endpoint',
  ordering: 'none',
  types: ['*'],
  secrets: [formatSecret(shared)],
  publicKeys: [],
};
const BOTH: Endpoint = { ...ONE, publicKeys: [publicKeyOf(pair.key)] };
const ROTATED: Endpoint = {
  ...ONE,
  secrets: [formatSecret(shared), formatSecret(strange)],
  publicKeys: [publicKeyOf(strangePair.key), publicKeyOf(pair.key)],
};

function verified(endpoint: Endpoint, by: SigningSecret[], body = BODY, id = ID): boolean {
  const at = Math.floor(Date.now() / 1000);
  const signature = sign(id, at, BODY, by);
  const headers = { 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': signature };
  return receiptOf(endpoint, headers, body, true).verified;
}

describe.each<[string, Endpoint, SigningSecret[][], SigningSecret[][]]>([
  ['v1', ONE, [[shared], [shared, strange], [pair, shared]], [[strange], [pair]]],
  [
    'v1 and v1a',
    BOTH,
    [
      [shared, pair],
      [strangePair, pair, strange, shared],
    ],
    [[shared], [pair], [shared, strangePair], [strange, pair]],
  ],
  [
    'both, with keys that were rotated',
    ROTATED,
    [
      [shared, pair],
      [strange, strangePair],
      [shared, strangePair],
    ],
    [
      [shared, strange],
      [pair, strangePair],
      [hmac(), pair],
      [shared, ed25519()],
    ],
  ],
])('of an endpoint that signs with %s', (_what, endpoint, held, refused) => {
  test('it takes what is signed by keys that its receiver knows', () => {
    for (const by of held) expect(verified(endpoint, by)).toBe(true);
  });

  test('it notices a signature of another key, or a scheme that lacks one', () => {
    for (const by of refused) expect(verified(endpoint, by)).toBe(false);
  });

  test('it notices another body, and another id', () => {
    const [by = []] = held;
    expect(verified(endpoint, by, BODY.replace('chaos.ping', 'chaos.pong'))).toBe(false);
    expect(verified(endpoint, by, BODY, 'evt_18')).toBe(false);
  });
});
