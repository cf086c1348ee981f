import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { readConfig, workerSchema } from '../../functions/config.ts';
import { requestOf } from '../../functions/worker/webhooks/attempt.ts';
import { type Endpoint, newEndpoint } from '../../functions/worker/webhooks/endpoint.ts';
import type { Outgoing } from '../../functions/worker/webhooks/outgoing/outcome.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createSender, type SenderOptions, TIMEOUTS } from '../../functions/worker/webhooks/outgoing/send.ts';
import { openSender } from '../../functions/worker/webhooks/outgoing/settings.ts';
import type { Delivery } from '../../functions/worker/webhooks/store.ts';
import { httpReceiver } from '../support/receiver.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Receiver, startReceiver } from './receiver.ts';

/** How long an attempt may take: what the endpoint leaves its receiver, within what the operator leaves all of it. */

const DELIVERY: Delivery = {
  position: 1,
  attempts: 0,
  failed: 0,
  orderingKey: null,
  retried: false,
  blocked: false,
  eventId: 'evt_1',
  body: '{}',
};

/** A request as the worker makes it, of an endpoint with this timeout_ms. */
function requestTo(url: string, timeoutMs: number): Outgoing {
  const endpoint: Endpoint = newEndpoint('t_acme', 'e');
  const secret = { kind: 'hmac' as const, key: new Uint8Array(32) };
  endpoint.material = { headers: {}, secrets: [{ secret, expiresAt: Number.POSITIVE_INFINITY }] };
  endpoint.described = {
    version: 1,
    generation: 0,
    watermark: 0,
    url,
    ordering: 'none',
    rate: null,
    timeoutMs,
    signing: ['v1'],
    tenantConcurrency: 64,
    tenantWeight: 1,
    secrets: [],
  };
  return requestOf(endpoint, DELIVERY, Date.now()) as Outgoing;
}

/** Answers so much later. */
const slow = (ms: number) => httpReceiver((_request, response) => void setTimeout(() => response.end('late'), ms));

async function outcomeOf(request: Outgoing, options: SenderOptions = {}) {
  const sender = createSender({ allowHttp: true, allowedNetworks: ['127.0.0.0/8'], ...options });
  onTestFinished(() => sender.close());
  return await sender.send(request);
}

describe('a receiver', () => {
  test('has all of the endpoint’s timeout for its answer, however long it took to find it', async () => {
    const { port } = await slow(1200);
    const lookup = async () => {
      await delay(1000);
      return ['127.0.0.1'];
    };
    const outcome = await outcomeOf(requestTo(`http://hooks.example:${port}/`, 2000), { lookup });
    expect(outcome).toMatchObject({ kind: 'response', status: 200, body: 'late' });
    expect(outcome.latencyMs).toBeGreaterThanOrEqual(2190);
  });

  test('has no more than the endpoint’s timeout', async () => {
    const { url } = await slow(3000);
    const outcome = await outcomeOf(requestTo(url, 1000));
    expect(outcome).toMatchObject({ reason: 'response_timeout', detail: 'no answer after 1000 ms' });
  });

  test('has no more than the operator leaves all of the attempt', async () => {
    const env = { ...WORKER_ENV, WORKER_DATABASE_URL: 'postgres://nobody@localhost/none', WEBHOOK_TIMEOUT_MS: '500' };
    const sender = openSender(readConfig(workerSchema, env));
    onTestFinished(() => sender.close());
    const { url } = await slow(3000);
    const outcome = await sender.send(requestTo(url, 15_000));
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'response_timeout' });
    expect(outcome.latencyMs).toBeGreaterThanOrEqual(490);
    expect(outcome.latencyMs).toBeLessThan(2500);
  });
});

test('no stage is cut short by the defaults, where an endpoint leaves its receiver the most that it may', () => {
  const { WEBHOOK_TIMEOUT_MS } = readConfig(workerSchema, { WORKER_DATABASE_URL: 'postgres://nobody@localhost/none' });
  const { dns, connect, tls, body, total } = TIMEOUTS;
  expect([WEBHOOK_TIMEOUT_MS, total]).toEqual(Array(2).fill(dns + connect + tls + 30_000 + body));
});

describe('a worker', () => {
  let stack: TestStack;
  let receiver: Receiver;
  let acme: Webhooks;

  beforeAll(async () => {
    receiver = await startReceiver();
    const { privateKey } = await generateKeyPair();
    const env = { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey, WEBHOOK_TIMEOUT_MS: '2000' };
    stack = await createTestStack({ worker: true, env });
    await stack.createTenant('t_acme');
    acme = await webhooks(stack, 't_acme');
  });

  afterAll(async () => {
    await stack?.stop();
    await receiver?.stop();
  });

  test.each([
    [1000, 'that, where it is less than WEBHOOK_TIMEOUT_MS', 1000, 2000],
    [15_000, 'WEBHOOK_TIMEOUT_MS, where it is more', 2000, 15_000],
  ])('gives a receiver up, with a timeout_ms of %i, after %s', async (timeout_ms, _which, least, most) => {
    receiver.answers(() => 'hang');
    const type = `hang${timeout_ms}.event`;
    const { id } = await acme.create({ url: receiver.url(type), event_types: [type], timeout_ms });
    await acme.emit(type, 's', {});
    const [delivery] = await acme.settled(id, ([only]) => only?.status === 'retrying');
    const [attempt] = await acme.attempts(id, delivery?.position ?? 0);
    expect(attempt).toMatchObject({ attempt: 1, status: 'failed', status_code: null, error: 'response_timeout' });
    expect(attempt?.latency_ms).toBeGreaterThanOrEqual(least - 10);
    expect(attempt?.latency_ms).toBeLessThan(most);
  });
});
