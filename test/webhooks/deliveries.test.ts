import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { until } from '../../functions/stack/until.ts';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Problem, type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

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

test('delivers each committed event that an endpoint asks for, signed, and no other', async () => {
  const { id, secret } = await acme.create({
    url: receiver.url('signed'),
    event_types: ['orders.*', 'invoices.paid'],
    headers: { 'x-token': 'of-acme' },
  });
  await acme.emit('orders.placed', 'o1', { name: 'first' });
  await acme.emit('ordersplaced', 'o1', { name: 'not this' });
  await acme.emit('invoices.sent', 'i1', { name: 'nor this' });
  await acme.emit('invoices.paid', 'i1', { name: 'second' });
  await acme.emit('orders.line.added', 'o1', { name: 'third' });
  const received = await receiver.got('signed', 3);
  expect(namesOf(received).sort()).toEqual(['first', 'second', 'third']);
  for (const { raw, headers, event } of received) {
    expect(new Webhook(secret).verify(raw, headers)).toEqual(event);
    expect(headers['webhook-id']).toBe(event.id);
    expect(headers['x-token']).toBe('of-acme');
    expect(event.source).toBe('/tenants/t_acme');
  }
  const deliveries = await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
  expect(deliveries.map(({ status_code, attempts, response }) => [status_code, attempts, response])).toEqual(
    Array(3).fill([200, 1, 'thank you']),
  );
  expect(deliveries.map(({ event_id }) => event_id).sort()).toEqual(received.map(({ event }) => event.id).sort());
  const [first] = deliveries;
  expect(await acme.attempts(id, first?.position ?? 0)).toMatchObject([
    { attempt: 1, status: 'succeeded', status_code: 200 },
  ]);
});

test('delivers a tenant nothing of another, whatever it asks for', async () => {
  const mine = await acme.create({ url: receiver.url('acme-all'), event_types: ['walls.*'] });
  const theirs = await globex.create({ url: receiver.url('globex-all') });
  await acme.emit('walls.built', 'w', { name: 'of acme' });
  await globex.emit('walls.built', 'w', { name: 'of globex' });
  expect(namesOf(await receiver.got('acme-all', 1))).toEqual(['of acme']);
  await receiver.got('globex-all', 1);
  await globex.settled(theirs.id, (all) => all.some(({ status }) => status === 'succeeded'));
  expect(receiver.at('globex-all').every(({ event }) => event.source === '/tenants/t_globex')).toBe(true);
  expect(await globex.deliveries(mine.id)).toEqual([]);
  expect(await globex.attempts(mine.id, 0)).toEqual([]);
  expect(await acme.deliveries(theirs.id)).toEqual([]);
  expect((await acme.deliveries(mine.id)).length).toBe(1);
});

test('delivers nothing of what was rolled back', async () => {
  const { id } = await acme.create({ url: receiver.url('rolled-back'), event_types: ['phantom.*'] });
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme' })]);
  await client.query(`select v1.emit_event('phantom.event', 'p', '{"name": "phantom"}')`);
  await client.query('rollback');
  client.release();
  await acme.emit('phantom.marker', 'p', { name: 'marker' });
  expect(namesOf(await receiver.got('rolled-back', 1))).toEqual(['marker']);
  expect(await acme.deliveries(id)).toHaveLength(1);
});

test('delivers the changes of a table, with the parts of the data that were asked for', async () => {
  await acme.create({
    url: receiver.url('projected'),
    event_types: ['app.files.*'],
    projection: ['new.name', 'changed'],
  });
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme' })]);
  await client.query('set local role tenant_user');
  await client.query(`insert into v1.files (name, content_type, size) values ('a.csv', 'text/csv', 1)`);
  await client.query('commit');
  client.release();
  const [received] = await receiver.got('projected', 1);
  expect(received?.event.type).toBe('app.files.inserted');
  expect(received?.event.data).toMatchObject({ new: { name: 'a.csv' } });
  expect(Object.keys((received?.event.data.new as object) ?? {})).toEqual(['name']);
});

test('tries again after a failure, and shows every attempt', async () => {
  const { id } = await acme.create({ url: receiver.url('flaky'), event_types: ['flaky.*'] });
  receiver.answers(() => (receiver.at('flaky').length > 1 ? 200 : { status: 500, body: 'x'.repeat(5000) }));
  await acme.emit('flaky.event', 'f', { name: 'again' });
  const [first, second] = await receiver.got('flaky', 2, 20_000);
  expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(4000);
  const [delivery] = await acme.settled(id, ([only]) => only?.status === 'succeeded');
  expect(delivery?.attempts).toBe(2);
  expect(await acme.attempts(id, delivery?.position ?? 0)).toMatchObject([
    { attempt: 1, status: 'failed', status_code: 500, response: 'x'.repeat(1024) },
    { attempt: 2, status: 'succeeded', status_code: 200, response: 'thank you' },
  ]);
});

test('says why there was no answer', async () => {
  const { id } = await acme.create({ url: 'http://127.0.0.1:1/', event_types: ['nobody.*'] });
  const metadata = await acme.create({ url: 'http://169.254.169.254/latest', event_types: ['nobody.*'] });
  await acme.emit('nobody.home', 'n', {});
  const failed = (status: string) => (all: { status: string }[]) => all.length === 1 && all[0]?.status === status;
  const [delivery] = await acme.settled(id, failed('retrying'));
  expect(['connect_failed', 'address_refused']).toContain(delivery?.error);
  const [refused] = await acme.settled(metadata.id, failed('retrying'));
  expect(refused?.error).toBe('address_refused');
});

test('opens the circuit of an endpoint that fails, tries one delivery at a time, and closes it again', async () => {
  const { id } = await globex.create({ url: receiver.url('circuit'), event_types: ['circuit.*'] });
  receiver.answers(() => (receiver.at('circuit').length > 5 ? 200 : 500));
  for (const nth of [1, 2, 3]) {
    await globex.emit('circuit.event', `c${nth}`, { name: nth });
    await receiver.got('circuit', nth);
  }
  const opened = await until(async () => (await globex.endpoint(id)).health.circuit === 'open', { timeoutMs: 10_000 });
  expect(opened).toBe(true);
  expect(receiver.at('circuit')).toHaveLength(3);
  await Promise.all([4, 5, 6].map((nth) => globex.emit('circuit.event', `c${nth}`, { name: nth })));
  await globex.settled(id, (all) => all.length === 6 && all.every(({ status }) => status === 'succeeded'), 20_000);
  // Open for 0.4 s, then 0.8 and 1.6, a tenth less at the least: the first two that were tried failed.
  const at = receiver.at('circuit').map((request) => request.at);
  const waited = [3, 4, 5].map((nth) => (at[nth] ?? 0) - (at[nth - 1] ?? 0));
  for (const [nth, least] of [360, 720, 1440].entries()) expect(waited[nth]).toBeGreaterThanOrEqual(least);
  expect((await globex.endpoint(id)).health).toMatchObject({ circuit: 'closed', failures: 0, paused_until: null });
});

test('gives less to an endpoint that says it has too much to do, and nothing before the moment it names', async () => {
  const { id } = await acme.create({ url: receiver.url('busy'), event_types: ['busy.*'] });
  receiver.answers(() => (receiver.at('busy').length > 1 ? 200 : { status: 429, headers: { 'retry-after': '2' } }));
  await acme.emit('busy.event', 'b', { name: 'first' });
  const [first] = await receiver.got('busy', 1);
  await acme.emit('busy.event', 'b', { name: 'second' });
  const received = await receiver.got('busy', 3, 20_000);
  expect((received[1]?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(2000);
  await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
});

test('ends a delivery whose schedule is over as a dead letter, which can be replayed', async () => {
  const { id } = await acme.create({ url: receiver.url('dead'), event_types: ['dead.*'] });
  receiver.answers(() => 500);
  await acme.emit('dead.event', 'd', { name: 'dead' });
  await acme.settled(id, ([only]) => only?.attempts === 1);
  await stack.admin.query(
    `update webhook.deliveries set attempts = 9, next_attempt_at = now() where endpoint_id = $1`,
    [id],
  );
  const [dead] = await acme.settled(id, ([only]) => only?.status === 'dead');
  expect(dead).toMatchObject({ attempts: 10, status_code: 500, next_attempt_at: null });

  receiver.answers(() => 200);
  const since = { id, failed_since: new Date(Date.now() - 60_000).toISOString() };
  const { body: dry } = await acme.call('replay_webhook_deliveries', { ...since, dry_run: true });
  expect(dry).toMatchObject({ events: 1 });
  expect((await acme.deliveries(id))[0]?.status).toBe('dead');
  await acme.call('replay_webhook_deliveries', since);
  const [replayed] = await acme.settled(id, ([only]) => only?.status === 'succeeded');
  expect(replayed?.attempts).toBe(11);
  await acme.call('redeliver_webhook', { id, position: replayed?.position });
  await acme.settled(id, ([only]) => only?.attempts === 12 && only.status === 'succeeded');
  const attempts = await acme.attempts(id, replayed?.position ?? 0);
  expect(attempts.map(({ attempt, status }) => [attempt, status])).toEqual([
    [1, 'failed'],
    [10, 'failed'],
    [11, 'succeeded'],
    [12, 'succeeded'],
  ]);
  expect(new Set(receiver.at('dead').map(({ headers }) => headers['webhook-id']))).toEqual(new Set([dead?.event_id]));
});

test('refuses a replay of nothing in particular, and of an event that is not the endpoint’s', async () => {
  const { id } = await acme.create({ url: receiver.url('none'), event_types: ['none.*'] });
  const nothing = await acme.call<Problem>('replay_webhook_deliveries', { id });
  expect([nothing.status, nothing.body.code]).toEqual([422, 'webhook_replay_invalid']);
  const unknown = await acme.call<Problem>('redeliver_webhook', { id, position: 1 });
  expect([unknown.status, unknown.body.code]).toEqual([404, 'webhook_delivery_unknown']);
});

test('sends nothing for a suspended tenant, and everything when it is resumed', async () => {
  await stack.createTenant('t_paused');
  const paused = await webhooks(stack, 't_paused');
  const { id } = await paused.create({ url: receiver.url('paused'), event_types: ['paused.*'] });
  await paused.emit('paused.event', 'p', { name: 'before' });
  await receiver.got('paused', 1);
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_paused' })]);
  await client.query(`select v1.emit_event('paused.event', 'p', '{"name": "meanwhile"}')`);
  await client.query(`update tenancy.tenants set status = 'suspended' where id = 't_paused'`);
  await client.query('commit');
  client.release();
  const pending = () =>
    stack.admin.query(`select from webhook.deliveries where endpoint_id = $1 and status = 'pending'`, [id]);
  expect(await until(async () => (await pending()).rows.length === 1, { timeoutMs: 10_000 })).toBe(true);
  const marker = await acme.create({ url: receiver.url('marker'), event_types: ['marker.*'] });
  await acme.emit('marker.event', 'm', { name: 'later' });
  await receiver.got('marker', 1);
  expect(marker.id).toBeDefined();
  expect(namesOf(receiver.at('paused'))).toEqual(['before']);
  await stack.migrator.query(`update tenancy.tenants set status = 'active' where id = 't_paused'`);
  expect(namesOf(await receiver.got('paused', 2))).toEqual(['before', 'meanwhile']);
});

test('sends a test once, and shows what came of it', async () => {
  const { id, secret } = await acme.create({ url: receiver.url('tested'), event_types: ['tested.*'] });
  receiver.answers(() => 418);
  const { body } = await acme.call<{ position: number; event_id: string }>('test_webhook_endpoint', {
    id,
    type: 'tested.event',
  });
  const [received] = await receiver.got('tested', 1);
  expect(received?.event).toMatchObject({ id: body.event_id, type: 'tested.event', data: { test: true } });
  expect(new Webhook(secret).verify(received?.raw ?? '', received?.headers ?? {})).toEqual(received?.event);
  const [delivery] = await acme.settled(id, ([only]) => only?.status === 'dead');
  expect(delivery).toMatchObject({ attempts: 1, status_code: 418, event_id: body.event_id });
});

test('keeps to the rate of an endpoint', async () => {
  const { id } = await acme.create({ url: receiver.url('rate'), event_types: ['rate.*'], rate: 10 });
  for (let n = 0; n < 15; n += 1) await acme.emit('rate.event', `r${n}`, { name: n });
  const received = await receiver.got('rate', 15, 20_000);
  const took = (received.at(-1)?.at ?? 0) - (received[0]?.at ?? 0);
  expect(took).toBeGreaterThan(1100);
  await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
});
