import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Received, type Receiver, startReceiver } from './receiver.ts';

/** Replays go 100 a second. A slow machine makes them later, never earlier. */

const PLACE_MS = 10;

let stack: TestStack;
let receiver: Receiver;
let acme: Webhooks;
let globex: Webhooks;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  acme = await webhooks(stack, 't_acme');
  globex = await webhooks(stack, 't_globex');
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

/** A transaction of a tenant's admin. */
async function begin(tenant: string) {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant, role: 'admin' })]);
  return client;
}

/** `count` events of each subject, subjects in turn. @returns their positions */
async function emit(type: string, count: number, subjects = ['s'], tenant = 't_acme'): Promise<number[]> {
  const client = await begin(tenant);
  const { rows } = await client.query(
    `select (v1.emit_event($1, subject, '{}') ->> 'position')::int as position from unnest($2::text[]) as subject`,
    [type, Array.from({ length: count }, () => subjects).flat()],
  );
  await client.query('commit');
  client.release();
  return rows.map(({ position }) => position);
}

/** Replays what is between them, both included. */
async function replay(id: string, from: number | undefined, to: number | undefined, tenant = acme): Promise<number> {
  const body = { id, from_position: from, to_position: to };
  return (await tenant.call<{ events: number }>('replay_webhook_deliveries', body)).body.events;
}

/** By how much each came too early that came before its place. */
const early = (received: Received[], begun: number) =>
  received.map(({ at }, nth) => at - begun - nth * PLACE_MS).filter((ms) => ms < 0);

describe('what is replayed is sent', () => {
  test('100 a second, by overlapping replays together', async () => {
    const { id } = await acme.create({ url: receiver.url('paced'), event_types: ['paced.*'] });
    const positions = await emit('paced.event', 400);
    await receiver.got('paced', 400);
    await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
    const begun = Date.now();
    const replays = [replay(id, positions[0], positions[199]), replay(id, positions[200], undefined)];
    expect(await Promise.all(replays)).toEqual([200, 200]);
    const again = (await receiver.got('paced', 800, 30_000)).slice(400);
    expect(new Set(again.map(({ event }) => event.id)).size).toBe(400);
    expect(early(again, begun)).toEqual([]);
  });

  test('100 a second where it is ordered by subject: each begins when those before it have had their time', async () => {
    const { id } = await acme.create({ url: receiver.url('turns'), event_types: ['turns.*'], ordering: 'subject' });
    const subjects = Array.from({ length: 10 }, (_, nth) => `s${nth}`);
    const positions = await emit('turns.event', 15, subjects);
    await receiver.got('turns', 150);
    await acme.settled(id, (all) => all.every(({ status }) => status === 'succeeded'));
    const begun = Date.now();
    expect(await replay(id, positions[0], undefined)).toBe(150);
    const again = (await receiver.got('turns', 300)).slice(150);
    for (const [nth, subject] of subjects.entries()) {
      const its = again.filter(({ event }) => event.subject === subject);
      expect(its.map(({ event }) => Number(event.id.slice(4)))).toEqual(positions.filter((_, at) => at % 10 === nth));
      expect(its[0]?.at).toBeGreaterThanOrEqual(begun + nth * 15 * PLACE_MS);
    }
  });
});

describe('what is replayed waits', () => {
  /** Disabled, so that what is planned stays as it is. */
  const make = async (type: string, more = {}, tenant = acme) =>
    (await tenant.create({ url: receiver.url(type), event_types: [type], enabled: false, ...more })).id;

  /** Emitted, and passed by the dispatcher. */
  async function emitted(type: string, count: number, subjects = ['s'], tenant = 't_acme'): Promise<number[]> {
    const its = tenant === 't_acme' ? acme : globex;
    const positions = await emit(type, count, subjects, tenant);
    const { id } = await its.create({ url: receiver.url('marker'), event_types: ['marker.*'] });
    await emit('marker.event', 1, ['m'], tenant);
    await its.settled(id, (all) => all.length === 1);
    return positions;
  }

  /** When each falls due, in places after the first of them; null: it waits for another. */
  async function places(id: string): Promise<[position: number, place: number | null][]> {
    const { rows } = await stack.admin.query(
      `select position::int, round(100 * extract(epoch from nullif(next_attempt_at, 'infinity') - min(next_attempt_at) over ()))::int as place
       from webhook.deliveries where endpoint_id = $1 order by position`,
      [id],
    );
    return rows.map(({ position, place }) => [position, place]);
  }

  /** How long from now the first of them falls due. */
  async function wait(id: string): Promise<number> {
    const { rows } = await stack.admin.query(
      'select extract(epoch from min(next_attempt_at) - clock_timestamp())::float8 as seconds from webhook.deliveries where endpoint_id = $1',
      [id],
    );
    return rows[0]?.seconds;
  }

  const inTurn = (positions: number[]) => positions.map((position, nth) => [position, nth]);

  test('for its time after the replays before it, and keeps it when it is replayed again', async () => {
    const id = await make('again.event');
    const positions = await emitted('again.event', 1200);
    const [first, second, third] = [positions.slice(100, 1100), positions.slice(0, 100), positions.slice(1100)];
    expect(await replay(id, first[0], first.at(-1))).toBe(1000);
    expect(await places(id)).toEqual(inTurn(first));
    expect(await replay(id, second[0], second.at(-1))).toBe(100);
    // Of all of them, those that do not wait yet take the next places, with no gap.
    expect(await replay(id, positions[0], undefined)).toBe(1200);
    const planned = new Map(await places(id));
    const order = [...first, ...second, ...third].map((position) => planned.get(position));
    expect(order).toEqual([...positions.keys()]);
  });

  test('for one that another transaction is still adding', async () => {
    const id = await make('beside.event');
    const positions = await emitted('beside.event', 600);
    const [first, second] = [positions.slice(300), positions.slice(0, 300)];
    const client = await begin('t_acme');
    await client.query('select v1.replay_webhook_deliveries($1, $2)', [id, first[0]]);
    const waiting = replay(id, second[0], second.at(-1));
    await delay(100);
    await client.query('commit');
    client.release();
    expect(await waiting).toBe(300);
    const planned = new Map(await places(id));
    expect([...first, ...second].map((position) => planned.get(position))).toEqual([...positions.keys()]);
  });

  test('from the call on, however long its transaction has been open', async () => {
    const id = await make('late.event');
    const positions = await emitted('late.event', 2);
    const client = await begin('t_acme');
    await delay(100);
    const { rows } = await client.query('select clock_timestamp() as now');
    await client.query('select v1.replay_webhook_deliveries($1, $2)', [id, positions[0]]);
    await client.query('commit');
    client.release();
    const { rows: first } = await stack.admin.query(
      'select min(next_attempt_at) >= $2 as later, count(*)::int from webhook.deliveries where endpoint_id = $1',
      [id, rows[0]?.now],
    );
    expect(first).toEqual([{ later: true, count: 2 }]);
  });

  test('for no retry, no other endpoint and no other tenant', async () => {
    const busy = await make('busy.event');
    const theirs = await make('busy.event', {}, globex);
    const [positions, of] = [await emitted('busy.event', 1000), await emitted('busy.event', 1000, ['s'], 't_globex')];
    expect([await replay(busy, positions[0], undefined), await replay(theirs, of[0], undefined, globex)]).toEqual([
      1000, 1000,
    ]);
    const id = await make('busy.event');
    expect(await replay(id, positions[0], positions[1])).toBe(2);
    expect(await wait(id)).toBeLessThan(0);
    await stack.admin.query(
      `update webhook.deliveries set attempts = attempts + 1, next_attempt_at = now() + interval '1 hour' where endpoint_id = $1`,
      [id],
    );
    expect(await replay(id, positions[2], positions[3])).toBe(2);
    expect(await wait(id)).toBeLessThan(0);
  });

  test('not at all where it is one event, beside a replay of many', async () => {
    const id = await make('one.event');
    const positions = await emitted('one.event', 1000);
    expect(await replay(id, positions[1], undefined)).toBe(999);
    const due = async () => {
      const { rows } = await stack.admin.query(
        `select position::int from webhook.deliveries where endpoint_id = $1 and position = any ($2) and next_attempt_at <= clock_timestamp()`,
        [id, [positions[0], positions[999]]],
      );
      return rows.map(({ position }) => position);
    };
    expect(await due()).toEqual([]);
    for (const position of [positions[0], positions[999]])
      expect((await acme.call('redeliver_webhook', { id, position })).status).toBe(200);
    expect(await due()).toEqual([positions[0], positions[999]]);
  });

  test('for the subjects before its own, where it is the first of a subject', async () => {
    const id = await make('subjects.event', { ordering: 'subject' });
    const before = await emitted(
      'subjects.event',
      1,
      Array.from({ length: 1000 }, (_, nth) => `s${nth}`),
    );
    const [a, b, c, a2, c2, c3, b2, d, d2] = await emitted('subjects.event', 1, [...'abcaccbdd']);
    expect(await replay(id, before[0], before.at(-1))).toBe(1000);
    expect(await replay(id, a, c3)).toBe(6);
    const first = [...inTurn(before), [a, 1000], [b, 1002], [c, 1003], [a2, null], [c2, null], [c3, null]];
    expect(await places(id)).toEqual(first);
    // What waits keeps its place; what does not comes after all of it, and b's second one behind its first.
    expect(await replay(id, a, d2)).toBe(9);
    expect(await places(id)).toEqual([...first, [b2, null], [d, 1005], [d2, null]]);
  });

  test('for its own time where an order had it blocked that the endpoint does not keep any more', async () => {
    const id = await make('freed.event', { ordering: 'endpoint' });
    const positions = await emitted('freed.event', 300);
    expect(await replay(id, positions[0], undefined)).toBe(300);
    expect((await places(id)).filter(([, place]) => place === null)).toHaveLength(299);
    expect((await acme.change(id, { ordering: 'none' })).status).toBe(200);
    expect(await replay(id, positions[0], undefined)).toBe(300);
    const planned = (await places(id)).slice(1).map(([, place]) => place ?? 0);
    expect(planned.map((place) => place - (planned[0] ?? 0))).toEqual([...Array(299).keys()]);
  });
});
