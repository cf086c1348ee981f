import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Receiver, startReceiver } from './receiver.ts';

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

const emit = async (type: string, n: number): Promise<number> =>
  ((await acme.emit(type, 's', { n })) as { position: number }).position;

/** Emitted while the endpoint is disabled, and passed by the dispatcher: no delivery. */
async function passBy(id: string, type: string, n: number): Promise<number> {
  const position = await emit(type, n);
  const { id: marker } = await acme.create({ url: receiver.url('marker'), event_types: ['marker.*'] });
  await emit('marker.event', n);
  await acme.settled(marker, (all) => all.length === 1);
  expect((await acme.deliveries(id)).map((delivery) => delivery.position)).not.toContain(position);
  return position;
}

const numbers = (path: string) => receiver.at(path).map(({ event }) => event.data.n);
const allSucceeded = (id: string, count: number) =>
  acme.settled(id, (all) => all.length === count && all.every(({ status }) => status === 'succeeded'), 20_000);

test.each(['endpoint', 'subject'])(
  'replays beside what waits for its first attempt, ordered by %s',
  async (ordering) => {
    const type = `held${ordering}.event`;
    const { id } = await acme.create({ url: receiver.url(type), event_types: [type], ordering });
    let answer = () => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    receiver.answers(({ event }) => (event.data.n === 0 && event.type === type ? answered.then(() => 200) : 200));
    await emit(type, 0);
    await receiver.got(type, 1);
    const held = await emit(type, 1);
    await acme.settled(id, (all) => all.length === 2);
    await acme.change(id, { enabled: false });
    answer();
    await acme.settled(id, ([first]) => first?.status === 'succeeded');
    const passed = await passBy(id, type, 2);
    await acme.change(id, { enabled: true });
    const replay = await acme.call('replay_webhook_deliveries', { id, from_position: held, to_position: passed });
    expect([replay.status, replay.body]).toMatchObject([200, { events: 2 }]);
    await emit(type, 3);
    await allSucceeded(id, 4);
    expect(numbers(type).filter((n, at, all) => all.indexOf(n) === at)).toEqual([0, 1, 2, 3]);
  },
);

test('replays beside one that has failed and one that is fresh, in their order', async () => {
  const { id } = await acme.create({ url: receiver.url('mixed'), event_types: ['mixed.*'], ordering: 'endpoint' });
  let attempts = 0;
  receiver.answers(({ event }) => (event.type === 'mixed.event' && attempts++ === 0 ? 500 : 200));
  const first = await emit('mixed.event', 0);
  await acme.settled(id, ([only]) => only?.status === 'retrying');
  await emit('mixed.event', 1);
  await acme.settled(id, (all) => all.length === 2);
  await acme.change(id, { enabled: false });
  const passed = await passBy(id, 'mixed.event', 2);
  await acme.change(id, { enabled: true });
  await emit('mixed.event', 3);
  await acme.call('replay_webhook_deliveries', { id, from_position: first, to_position: passed });
  await allSucceeded(id, 4);
  expect(numbers('mixed')).toEqual([0, 0, 1, 2, 3]);
});

test('delivers what a replay adds while the one before it is being settled', async () => {
  const { id } = await acme.create({ url: receiver.url('race'), event_types: ['race.*'], ordering: 'endpoint' });
  let attempts = 0;
  receiver.answers(({ event }) => (event.type === 'race.event' && attempts++ === 0 ? 500 : 200));
  await emit('race.event', 0);
  await acme.settled(id, ([only]) => only?.status === 'retrying');
  await acme.change(id, { enabled: false });
  const passed = await passBy(id, 'race.event', 1);
  await acme.change(id, { enabled: true });
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme', role: 'admin' })]);
  await client.query('select v1.replay_webhook_deliveries($1, $2, $2)', [id, passed]);
  // Its retry comes after five seconds, and cannot be recorded or is, as the replay left it: neither may strand the other.
  await receiver.got('race', 2);
  await delay(500);
  await client.query('commit');
  client.release();
  await allSucceeded(id, 2);
  expect([...new Set(numbers('race'))]).toEqual([0, 1]);
});
