import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type TestWorker, testWorker } from '../support/worker.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Receiver, startReceiver } from './receiver.ts';

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let workers: [TestWorker, TestWorker];

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack();
  const env = { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey };
  workers = [testWorker(stack, { env }), testWorker(stack, { env })];
  await workers[0].start();
  await stack.createTenant('t_acme');
  acme = await webhooks(stack, 't_acme');
});

afterAll(async () => {
  for (const worker of workers ?? []) await worker.stop();
  await stack?.stop();
  await receiver?.stop();
});

beforeEach(() => receiver.answers(() => 200));

async function emit(type: string, count: number): Promise<void> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme' })]);
  await client.query('set local role tenant_user');
  await client.query(`select v1.emit_event($1, 's', jsonb_build_object('n', n)) from generate_series(1, $2::int) n`, [
    type,
    count,
  ]);
  await client.query('commit');
  client.release();
}

test('takes over at once from a worker that was killed', async () => {
  const { id } = await acme.create({ url: receiver.url('killed'), event_types: ['killed.*'] });
  receiver.answers(() => 'hang');
  await emit('killed.event', 40);
  await receiver.got('killed', 8);
  await workers[1].start();
  const before = receiver.at('killed').length;
  receiver.answers(() => 200);
  const killedAt = Date.now();
  await workers[0].kill();
  await receiver.got('killed', before + 40, 10_000);
  expect(Date.now() - killedAt).toBeLessThan(8000);
  const deliveries = await acme.settled(
    id,
    (all) => all.length === 40 && all.every(({ status }) => status === 'succeeded'),
  );
  expect(deliveries.every(({ attempts }) => attempts === 1)).toBe(true);
});

test('delivers once, between workers that are well', async () => {
  await workers[0].start();
  const ids: string[] = [];
  for (const path of ['once-a', 'once-b', 'once-c']) {
    ids.push((await acme.create({ url: receiver.url(path), event_types: ['once.*'] })).id);
  }
  for (let round = 0; round < 10; round += 1) await emit('once.event', 30);
  for (const id of ids) {
    await acme.settled(id, (all) => all.length === 300 && all.every(({ status }) => status === 'succeeded'), 30_000);
  }
  for (const path of ['once-a', 'once-b', 'once-c']) {
    const events = receiver.at(path).map(({ event }) => event.id);
    expect([path, events.length, new Set(events).size]).toEqual([path, 300, 300]);
  }
});

test('finishes what is under way when it is stopped, and leaves the rest to others', async () => {
  const { id } = await acme.create({ url: receiver.url('stopped'), event_types: ['stopped.*'] });
  await emit('stopped.event', 500);
  await receiver.got('stopped', 20);
  await workers[0].stop();
  await acme.settled(id, (all) => all.length === 500 && all.every(({ status }) => status === 'succeeded'), 30_000);
  const events = receiver.at('stopped').map(({ event }) => event.id);
  expect([events.length, new Set(events).size]).toEqual([500, 500]);
});

test('loses nothing, and no order, when its connections are cut again and again', async () => {
  const strict = await acme.create({ url: receiver.url('cut-strict'), event_types: ['cut.*'], ordering: 'endpoint' });
  const loose = await acme.create({ url: receiver.url('cut-loose'), event_types: ['cut.*'] });
  for (let round = 0; round < 4; round += 1) {
    await emit('cut.event', 100);
    await receiver.got('cut-loose', 100 * round + 20, 20_000);
    await stack.admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rowhouse_worker' and datname = current_database()`,
    );
  }
  for (const { id } of [strict, loose]) {
    await acme.settled(id, (all) => all.length === 400 && all.every(({ status }) => status === 'succeeded'), 40_000);
  }
  const loosely = receiver.at('cut-loose').map(({ event }) => event.id);
  expect(new Set(loosely).size).toBe(400);
  // By when each came first: an attempt that was cut off can come again later.
  const order = [...new Set(receiver.at('cut-strict').map(({ event }) => Number(event.id.slice(4))))];
  expect(order).toHaveLength(400);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});
