import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  await stack.createTenant('t_acme');
  acme = await webhooks(stack, 't_acme');
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

beforeEach(() => receiver.answers(() => 200));

/** `count` events of each subject, in one transaction, subjects in turn. */
async function emit(type: string, subjects: string[], count: number): Promise<void> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme' })]);
  await client.query('set local role tenant_user');
  await client.query(
    `select v1.emit_event($1, subject, jsonb_build_object('n', n)) from generate_series(1, $2::int) n, unnest($3::text[]) subject`,
    [type, count, subjects],
  );
  await client.query('commit');
  client.release();
}

/** The order in which positions were accepted. */
const orderOf = (received: Received[]) => received.map(({ event }) => Number(event.id.slice(4)));
const ascending = (numbers: number[]) => numbers.toSorted((a, b) => a - b);
const ofSubject = (received: Received[], subject: string) => received.filter(({ event }) => event.subject === subject);

test('keeps the order of an endpoint, and goes on where the first one failed', async () => {
  const { id } = await acme.create({ url: receiver.url('strict'), event_types: ['strict.*'], ordering: 'endpoint' });
  let failed = 0;
  receiver.answers(({ event }) => {
    if (event.data.n !== 4 || failed > 0) return 200;
    failed += 1;
    return 500;
  });
  await emit('strict.event', ['s'], 20);
  await receiver.got('strict', 4);
  await acme.settled(id, (all) => all.some(({ status }) => status === 'retrying'));
  expect(receiver.at('strict')).toHaveLength(4);
  expect(await acme.blockedKeys(id)).toMatchObject([{ subject: null, position: orderOf(receiver.at('strict'))[3] }]);
  await emit('strict.event', ['s'], 5);
  const received = await receiver.got('strict', 26, 25_000);
  const order = orderOf(received);
  expect(order[3]).toBe(order[4]);
  expect(order.toSpliced(3, 1)).toEqual(ascending([...new Set(order)]));
  expect(await acme.blockedKeys(id)).toEqual([]);
});

test('keeps the order of each subject, and one that is blocked blocks no other', async () => {
  const { id } = await acme.create({ url: receiver.url('subjects'), event_types: ['subjects.*'], ordering: 'subject' });
  let failed = 0;
  receiver.answers(({ event }) => {
    if (event.subject !== 'bad' || failed > 0) return 200;
    failed += 1;
    return 500;
  });
  const subjects = ['bad', 'one', 'two', 'three'];
  await emit('subjects.event', subjects, 50);
  // All of the others, and of the blocked one the first alone.
  await receiver.got('subjects', 151);
  await acme.settled(id, (all) => all.filter(({ status }) => status === 'blocked').length === 49);
  expect(ofSubject(receiver.at('subjects'), 'bad')).toHaveLength(1);
  const [blocked] = await acme.blockedKeys(id);
  expect(blocked).toMatchObject({ subject: 'bad', waiting: 49 });
  await emit('subjects.event', subjects, 5);
  const received = await receiver.got('subjects', 221, 25_000);
  for (const subject of subjects) {
    const order = orderOf(ofSubject(received, subject));
    const once = subject === 'bad' ? order.slice(1) : order;
    expect([subject, once]).toEqual([subject, ascending([...new Set(order)])]);
    expect(once).toHaveLength(55);
  }
  await acme.settled(id, (all) => all.length === 220 && all.every(({ status }) => status === 'succeeded'));
  expect(await acme.blockedKeys(id)).toEqual([]);
});

test('has never more than one delivery of an order under way, and several orders at once', async () => {
  const underWay = new Map<string, number>();
  let mostOfOne = 0;
  let mostOfAll = 0;
  receiver.answers(async ({ event }) => {
    const subject = event.subject ?? '';
    underWay.set(subject, (underWay.get(subject) ?? 0) + 1);
    mostOfOne = Math.max(mostOfOne, underWay.get(subject) ?? 0);
    mostOfAll = Math.max(
      mostOfAll,
      [...underWay.values()].reduce((sum, count) => sum + count, 0),
    );
    await delay(20);
    underWay.set(subject, (underWay.get(subject) ?? 0) - 1);
    return 200;
  });
  await acme.create({ url: receiver.url('slow'), event_types: ['slow.*'], ordering: 'subject' });
  await emit('slow.event', ['a', 'b', 'c'], 30);
  const received = await receiver.got('slow', 90, 20_000);
  expect(mostOfOne).toBe(1);
  expect(mostOfAll).toBeGreaterThan(1);
  for (const subject of ['a', 'b', 'c']) {
    const order = orderOf(ofSubject(received, subject));
    expect(order).toEqual(ascending(order));
  }
});

test('replays an ordered endpoint in its order', async () => {
  const { id } = await acme.create({
    url: receiver.url('replayed'),
    event_types: ['replayed.*'],
    ordering: 'endpoint',
  });
  await emit('replayed.event', ['s'], 10);
  const first = orderOf(await receiver.got('replayed', 10));
  await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
  await acme.call('replay_webhook_deliveries', { id, from_position: first[0] });
  const again = orderOf(await receiver.got('replayed', 20, 20_000)).slice(10);
  expect(again).toEqual(first);
});
