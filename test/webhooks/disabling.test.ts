import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

// Endpoints that are disabled for what they answer, and who is told.

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let globex: Webhooks;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  const env = {
    ...WORKER_ENV,
    WEBHOOK_PRIVATE_KEY: privateKey,
    WEBHOOK_CIRCUIT_FAILURES: '3',
    WEBHOOK_CIRCUIT_OPEN_MS: '400',
    WEBHOOK_DISABLE_AFTER_HOURS: '0.0005',
    WEBHOOK_DISABLE_ATTEMPTS: '6',
  };
  stack = await createTestStack({ worker: true, env });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await webhooks(stack, 't_acme');
  globex = await webhooks(stack, 't_globex');
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

beforeEach(() => receiver.answers(() => 200));

const namesOf = (received: Received[]) => received.map(({ event }) => event.data.name);

/** What the worker has logged of the end of an endpoint. */
const loggedOf = (id: string) =>
  stack
    .lines('worker')
    .map((line) => JSON.parse(line))
    .filter(({ msg, endpoint_id }) => /disabled$/.test(msg) && endpoint_id === id);

const WARN = 40;

test('disables an endpoint that answers 410, says so in an event, and holds what was not delivered', async () => {
  await acme.create({ url: receiver.url('told'), event_types: ['webhook.endpoint.disabled'] });
  const { id } = await acme.create({ url: receiver.url('gone'), event_types: ['gone.*'] });
  receiver.answers(({ path }) => (path === '/gone' ? 410 : 200));
  await acme.emit('gone.event', 'g', { name: 'held' });
  const [notice] = await receiver.got('told', 1);
  expect(notice?.event).toMatchObject({ type: 'webhook.endpoint.disabled', data: { endpoint_id: id, reason: 'gone' } });
  expect(await acme.endpoint(id)).toMatchObject({ enabled: false, disabled_reason: 'gone' });
  await expect
    .poll(() => loggedOf(id))
    .toMatchObject([
      { level: WARN, msg: 'webhook endpoint disabled', tenant_id: 't_acme', endpoint_id: id, reason: 'gone' },
    ]);
  expect(await acme.settled(id, ([only]) => only?.status === 'held')).toHaveLength(1);

  receiver.answers(() => 200);
  // What counts is whether it is enabled when the event is handed over: another endpoint tells when that was.
  await acme.create({ url: receiver.url('gone-witness'), event_types: ['gone.*'] });
  await acme.emit('gone.event', 'g', { name: 'missed' });
  await until(() => namesOf(receiver.at('gone-witness')).includes('missed'), { timeoutMs: 10_000 });
  await acme.change(id, { enabled: true });
  const received = await receiver.got('gone', 2);
  expect(namesOf(received)).toEqual(['held', 'held']);
  await acme.settled(id, ([only]) => only?.status === 'succeeded');
  // What happened while it was disabled is replayed on request.
  const { body: dry } = await acme.call('replay_webhook_deliveries', { id, from_position: 0, dry_run: true });
  expect(dry).toMatchObject({ events: 2, dry_run: true });
  const { body } = await acme.call('replay_webhook_deliveries', { id, from_position: 0 });
  expect(body).toMatchObject({ events: 2, dry_run: false });
  expect(
    namesOf(await receiver.got('gone', 4))
      .slice(2)
      .sort(),
  ).toEqual(['held', 'missed']);
});

test('disables an endpoint after nothing but failures, and tells its tenant in an event and the operator in the log', async () => {
  const told = { url: receiver.url('globex-told'), event_types: ['webhook.endpoint.*', 'marker.*'] };
  await globex.create(told);
  await acme.create({ ...told, url: receiver.url('acme-told') });
  const url = receiver.url('failing');
  const { id } = await globex.create({ url, event_types: ['failing.*'] });
  receiver.answers(({ path }) => (path === '/failing' ? 500 : 200));
  for (let n = 0; n < 6; n += 1) await globex.emit('failing.event', `f${n}`, { name: n });
  const disabled = await until(async () => !(await globex.endpoint(id)).enabled, {
    timeoutMs: 30_000,
    intervalMs: 200,
  });
  expect(disabled).toBe(true);
  const endpoint = await globex.endpoint(id);
  expect(endpoint).toMatchObject({ disabled_reason: 'failing', health: { last_error: 'answered 500' } });
  expect(endpoint.health.failures).toBeGreaterThanOrEqual(6);
  expect(receiver.at('failing').length).toBeGreaterThanOrEqual(6);

  const [notice] = await receiver.got('globex-told', 1);
  expect(notice?.event).toMatchObject({
    type: 'webhook.endpoint.disabled',
    subject: id,
    source: '/tenants/t_globex',
    data: { endpoint_id: id, url, reason: 'failing', disabled_at: endpoint.disabled_at },
  });
  await expect
    .poll(() => loggedOf(id))
    .toMatchObject([
      { level: WARN, msg: 'webhook endpoint disabled', tenant_id: 't_globex', endpoint_id: id, reason: 'failing' },
    ]);

  // Once, and nobody else: what was emitted after it has come.
  for (const tenant of [globex, acme]) await tenant.emit('marker.event', 'm', {});
  await receiver.got('acme-told', 1);
  const typesAt = (path: string) => receiver.at(path).map(({ event }) => event.type);
  await receiver.got('globex-told', 2);
  expect(typesAt('globex-told')).toEqual(['webhook.endpoint.disabled', 'marker.event']);
  expect(typesAt('acme-told')).toEqual(['marker.event']);
});
