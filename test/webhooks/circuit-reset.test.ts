import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Circuits, circuits, TEN } from './circuits.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

// What a tenant does about an open circuit, and how soon something comes of it.

const OPEN_MS = 600_000;
/** A worker notices at its next look, within a second or so; the rest is the machine's. */
const SOON_MS = 4000;
/** Workers have looked around twice, at the least, by the end of it. */
const LOOKS_MS = 2500;

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let globex: Webhooks;
let acmes: Circuits;
/** Of acme's, too, and open from the beginning: nothing that is done to others may reach it. */
let bystander: string;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  const env = { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey, WEBHOOK_CIRCUIT_OPEN_MS: String(OPEN_MS) };
  stack = await createTestStack({ worker: true, env });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await webhooks(stack, 't_acme');
  globex = await webhooks(stack, 't_globex');
  acmes = await circuits(acme, receiver, OPEN_MS);
  bystander = await acmes.opened('bystander');
  await acmes.emitted('bystander', 1);
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

beforeEach(() => expectStill(bystander, 'bystander'));
afterAll(() => expectStill(bystander, 'bystander'));

/** That it is open, and has got nothing more. */
async function expectStill(id: string, path: string, requests = TEN): Promise<void> {
  expect(receiver.at(path)).toHaveLength(requests);
  await acmes.expectOpen(id, requests);
}

describe('an open circuit is closed', () => {
  test.each<[what: string, path: string, changes: (path: string) => object[], to: string]>([
    ['another url', 'moved', () => [{ url: receiver.url('moved-new') }], 'moved-new'],
    ['other headers', 'headers', () => [{ headers: { authorization: 'Bearer good' } }], 'headers'],
    ['disabling and enabling it', 'enabled', () => [{ enabled: false }, { enabled: true }], 'enabled'],
  ])('by %s', async (_what, path, changes, to) => {
    const id = await acmes.opened(path);
    await acmes.emitted(path, 3);
    acmes.answers.set(path, () => 200);
    const before = receiver.at(to).length;
    for (const change of changes(path)) expect((await acme.change(id, change)).status).toBe(200);
    await receiver.got(to, before + 3, SOON_MS);
    await acmes.isWell(id);
  });

  test('and not by a change of anything else', async () => {
    const id = await acmes.opened('renamed');
    expect((await acme.change(id, { description: 'new', timeout_ms: 2000, headers: {} })).status).toBe(200);
    await acmes.emitted('renamed', 1);
    await delay(LOOKS_MS);
    await expectStill(id, 'renamed');
  });

  test('and what waits of an order goes in its order', async () => {
    const id = await acmes.opened('ordered', { ordering: 'subject' });
    await acmes.emitted('ordered', TEN);
    await acme.change(id, { url: receiver.url('ordered-new') });
    const received = await receiver.got('ordered-new', 2 * TEN);
    for (let n = 0; n < TEN; n += 1) {
      const its = received.flatMap(({ event }) => (event.subject === `s${n}` ? [Number(event.id.slice(4))] : []));
      expect([its.length, its]).toEqual([2, its.toSorted((a, b) => a - b)]);
    }
    await acmes.isWell(id);
  });

  test.each([500, 410])(
    'and what was sent to the url before counts no more, when that answers %i at last',
    async (status) => {
      const [path, to] = [`slow${status}`, `slow${status}-new`];
      const id = await acmes.failing(path);
      await acmes.emitted(path, TEN - 1);
      const { promise, resolve } = Promise.withResolvers<number>();
      acmes.answers.set(path, () => promise);
      await acmes.emitted(path, TEN);
      await receiver.got(path, TEN - 1 + TEN);
      await acme.change(id, { url: receiver.url(to) });
      acmes.answers.set(to, () => (receiver.at(to).length > 1 ? 200 : 500));
      await acme.emit(`${path}.event`, 'new', { name: 'new' });
      const [first] = await receiver.got(to, 1, SOON_MS);
      expect(first?.event.data.name).toBe('new');
      await acme.settled(id, (all) => all.at(-1)?.attempts === 1);
      expect((await acme.endpoint(id)).health).toMatchObject({ circuit: 'closed', failures: 1 });
      resolve(status);
      await acmes.isWell(id);
      expect(await acme.endpoint(id)).toMatchObject({ enabled: true });
      expect(receiver.at(path)).toHaveLength(TEN - 1 + TEN);
    },
  );
});

describe('one delivery is tried at once', () => {
  test('by a replay: if it fails, the circuit is open again, and what failed before still counts', async () => {
    const id = await acmes.opened('replayed');
    await acmes.emitted('replayed', 3);
    const { failing_since } = (await acme.endpoint(id)).health;
    const replay = { id, from_position: 0 };
    expect((await globex.call('replay_webhook_deliveries', replay)).status).toBe(404);
    const { body: dry } = await acme.call('replay_webhook_deliveries', { ...replay, dry_run: true });
    expect(dry).toMatchObject({ events: TEN + 3 });
    await acmes.expectOpen(id);
    expect((await acme.call('replay_webhook_deliveries', replay)).body).toMatchObject({ events: TEN + 3 });
    await receiver.got('replayed', TEN + 1, SOON_MS);
    await delay(LOOKS_MS);
    await expectStill(id, 'replayed', TEN + 1);
    expect((await acme.endpoint(id)).health).toMatchObject({ failing_since });
  });

  test('by a replay: if it arrives, the rest follows', async () => {
    const id = await acmes.opened('well');
    await acmes.emitted('well', 3);
    acmes.answers.set('well', () => 200);
    expect((await acme.call('replay_webhook_deliveries', { id, from_position: 0 })).status).toBe(200);
    await receiver.got('well', TEN + TEN + 3, SOON_MS);
    await acmes.isWell(id);
  });

  test('by a test, also where the one that is being tried fails', async () => {
    const id = await acmes.opened('trying');
    const { promise, resolve } = Promise.withResolvers<number>();
    acmes.answers.set('trying', () => promise);
    await acme.call('redeliver_webhook', { id, position: (await acme.deliveries(id))[0]?.position });
    await receiver.got('trying', TEN + 1, SOON_MS);
    const { body } = await acme.call<{ event_id: string }>('test_webhook_endpoint', { id });
    acmes.answers.set('trying', () => 200);
    resolve(500);
    const came = await receiver.got('trying', TEN + 2, SOON_MS);
    expect(came.at(TEN + 1)?.event.id).toBe(body.event_id);
    await acmes.isWell(id);
  });

  test('by a test, which is the one, before all that waits', async () => {
    const id = await acmes.opened('tested');
    await acmes.emitted('tested', 3);
    const send = async (status: number): Promise<void> => {
      acmes.answers.set('tested', () => status);
      const before = receiver.at('tested').length;
      const { body } = await acme.call<{ event_id: string }>('test_webhook_endpoint', { id });
      const came: Received[] = await receiver.got('tested', before + 1, SOON_MS);
      expect(came[before]?.event.id).toBe(body.event_id);
    };
    expect((await globex.call('test_webhook_endpoint', { id })).status).toBe(404);
    // By then, those that have failed are due as well.
    const isDue = ({ next_attempt_at }: { next_attempt_at: string | null }) =>
      next_attempt_at === null || Date.parse(next_attempt_at) < Date.now();
    await acme.settled(id, (all) => all.every(isDue));
    await expectStill(id, 'tested');
    await send(418);
    const tested = await acme.settled(id, (all) => all.some(({ status }) => status === 'dead'));
    expect(tested.at(-1)).toMatchObject({ status: 'dead', status_code: 418, attempts: 1 });
    await delay(LOOKS_MS);
    await expectStill(id, 'tested', TEN + 1);
    await send(200);
    await acme.settled(id, (all) =>
      all.every(({ status }, nth) => status === (nth === TEN + 3 ? 'dead' : 'succeeded')),
    );
    expect((await acme.endpoint(id)).health).toMatchObject({ circuit: 'closed', failures: 0 });
  });
});
