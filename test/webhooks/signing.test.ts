import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';
import { accepts, schemesOf } from './verify.ts';

// What a receiver verifies, with the secret and the public key that its tenant is shown.

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let globex: Webhooks;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await webhooks(stack, 't_acme');
  globex = await webhooks(stack, 't_globex');
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

/** The public keys of an endpoint, the newest first, as soon as there are so many. */
async function publicKeys(tenant: Webhooks, id: string, count: number): Promise<string[]> {
  let keys: string[] = [];
  const published = async () => {
    keys = (await tenant.endpoint(id)).public_keys;
    return keys.length === count;
  };
  if (!(await until(published, { timeoutMs: 10_000 }))) throw new Error(`its public keys are ${keys}`);
  return keys;
}

/** An endpoint that signs with both schemes, and the keys that its receiver knows. */
async function makeBoth(tenant: Webhooks, path: string, type: string) {
  const fields = { url: receiver.url(path), event_types: [type], signing: ['v1', 'v1a'] };
  const { id, secret } = await tenant.create(fields);
  const [publicKey = ''] = await publicKeys(tenant, id, 1);
  return { id, keys: [secret, publicKey] };
}

/** Which of the keys are found to have signed. */
const acceptedBy = (request: Received, keys: string[]) => keys.map((key) => accepts(key, request));

test('publishes the key of an endpoint that signs with v1a, and signs with both while both are asked for', async () => {
  const { keys } = await makeBoth(acme, 'both', 'both.*');
  expect(keys[1]).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/);
  await acme.emit('both.event', 'b', { name: 'signed twice' });
  const [received] = (await receiver.got('both', 1)) as [Received];
  expect(schemesOf(received).sort()).toEqual(['v1', 'v1a']);
  expect(acceptedBy(received, keys)).toEqual([true, true]);
  for (const changed of [
    { ...received, raw: `${received.raw} ` },
    { ...received, headers: { ...received.headers, 'webhook-id': 'evt_0' } },
  ]) {
    expect(acceptedBy(changed, keys)).toEqual([false, false]);
  }
});

test('signs with the old and the new secret while one is rotated', async () => {
  const { id, secret } = await globex.create({ url: receiver.url('rotated'), event_types: ['rotated.*'] });
  await globex.emit('rotated.event', 'r', { name: 'before' });
  await receiver.got('rotated', 1);
  const { body } = await globex.call<{ secret: string }>('rotate_webhook_secret', { id });
  await globex.emit('rotated.event', 'r', { name: 'after' });
  const [before, after] = (await receiver.got('rotated', 2)) as [Received, Received];
  expect(acceptedBy(before, [secret, body.secret])).toEqual([true, false]);
  expect(acceptedBy(after, [secret, body.secret])).toEqual([true, true]);
});

test('signs with both keys of each scheme while they are rotated, and with the new ones alone afterwards, as deliveries flow', async () => {
  const mine = await makeBoth(acme, 'flow', 'flow.*');
  const theirs = await makeBoth(globex, 'beside', 'flow.*');
  let flowing = true;
  const flow = (async () => {
    for (let n = 0; flowing; n += 1) {
      await Promise.all([acme, globex].map((tenant) => tenant.emit('flow.event', `f${n}`, { n })));
      await delay(50);
    }
  })();
  onTestFinished(async () => {
    flowing = false;
    await flow;
  });
  const came = () => receiver.at('flow');
  await receiver.got('flow', 5);

  const begun = came().length;
  const { body } = await acme.call<{ secret: string; old_secret_expires_at: string }>('rotate_webhook_secret', {
    id: mine.id,
    overlap: '6 seconds',
  });
  const answeredAt = Date.now();
  const expiresAt = Date.parse(body.old_secret_expires_at);
  const [published = '', ...older] = await publicKeys(acme, mine.id, 2);
  expect(older).toEqual([mine.keys[1]]);
  const fresh = [body.secret, published];
  await delay(expiresAt + 1000 - Date.now());
  await receiver.got('flow', came().length + 5);

  // The time of a signature is its second: those that it could be of either side of are of neither.
  const signedIn = ({ headers }: Received) => Number(headers['webhook-timestamp']) * 1000;
  const whole = (requests: Received[]) =>
    requests.map((request) => [
      ...acceptedBy(request, mine.keys),
      ...acceptedBy(request, fresh),
      schemesOf(request).sort(),
    ]);
  const before = came().slice(0, begun);
  // A worker that reads the endpoint anew for each of them knows of the rotation at once; two seconds are plenty.
  const during = came().filter((it) => it.at > answeredAt + 2000 && signedIn(it) + 1000 <= expiresAt);
  const afterwards = came().filter((it) => signedIn(it) >= expiresAt);
  const between = came().filter((it) => signedIn(it) + 1000 <= expiresAt);
  for (const some of [before, during, afterwards]) expect(some.length).toBeGreaterThanOrEqual(5);
  for (const seen of whole(before)) expect(seen).toEqual([true, true, false, false, ['v1', 'v1a']]);
  for (const seen of whole(during)) expect(seen).toEqual([true, true, true, true, ['v1', 'v1', 'v1a', 'v1a']]);
  for (const seen of whole(afterwards)) expect(seen).toEqual([false, false, true, true, ['v1', 'v1a']]);
  // Who has not heard of it yet misses none.
  for (const request of between) expect(acceptedBy(request, mine.keys)).toEqual([true, true]);

  // Another tenant's keys are not these, and stay.
  for (const request of receiver.at('beside')) {
    expect(acceptedBy(request, theirs.keys)).toEqual([true, true]);
    expect(acceptedBy(request, [...mine.keys, ...fresh])).toEqual([false, false, false, false]);
  }
  expect((await globex.endpoint(theirs.id)).public_keys).toEqual([theirs.keys[1]]);
  expect(await publicKeys(acme, mine.id, 1)).toEqual([published]);
});
