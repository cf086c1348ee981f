import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Problem, type Webhooks, WORKER_ENV, webhooks } from './api.ts';
import { type Receiver, startReceiver } from './receiver.ts';

// Replays of what happened between two moments. Two tenants have the same events at the same time, and an endpoint each.

const TYPE = 'timed.event';
const COUNT = 5;

interface Tenant {
  api: Webhooks;
  path: string;
  id: string;
  /** When each of its events happened, as the API says it. */
  times: string[];
}

let stack: TestStack;
let receiver: Receiver;
let acme: Tenant;
let globex: Tenant;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  const make = async (tenant: string): Promise<Tenant> => {
    await stack.createTenant(tenant);
    const api = await webhooks(stack, tenant);
    const path = tenant.slice(2);
    const { id } = await api.create({ url: receiver.url(path), event_types: ['timed.*'] });
    return { api, path, id, times: [] };
  };
  [acme, globex] = [await make('t_acme'), await make('t_globex')];
  for (let n = 0; n < COUNT; n += 1) {
    for (const { api } of [acme, globex]) await api.emit(TYPE, 's', { n });
  }
  for (const [name, tenant] of Object.entries({ t_acme: acme, t_globex: globex })) {
    const url = `${stack.postgrest}/events?type=eq.${TYPE}&order=position&select=time`;
    const { body } = await http<{ time: string }[]>(url, { token: await stack.token({ tenant: name }) });
    tenant.times = body.map(({ time }) => time);
    await receiver.got(tenant.path, COUNT);
    await settled(tenant);
  }
  expect([new Set(acme.times).size, new Set(globex.times).size]).toEqual([COUNT, COUNT]);
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

const settled = ({ api, id }: Tenant) =>
  api.settled(id, (all) => all.length === COUNT && all.every(({ status }) => status === 'succeeded'));

/** A microsecond later or earlier than one of its events: to the clock of PostgreSQL, not to that of JavaScript. */
async function beside({ times }: Tenant, nth: number, microseconds: number): Promise<string> {
  const { rows } = await stack.admin.query<{ time: string }>(
    `select ($1::timestamptz + $2 * interval '1 microsecond')::text as time`,
    [times[nth], microseconds],
  );
  return rows[0]?.time ?? '';
}

/** Replays, and returns what then came again, in the order of the events. */
async function replayed(tenant: Tenant, range: object): Promise<{ events: number; again: unknown[] }> {
  const { api, id, path } = tenant;
  const before = receiver.at(path).length;
  const dry = await api.call('replay_webhook_deliveries', { id, ...range, dry_run: true });
  const { status, body } = await api.call<{ events: number }>('replay_webhook_deliveries', { id, ...range });
  expect([dry.status, dry.body, status]).toEqual([200, { ...body, dry_run: true }, 200]);
  expect(body).toEqual({ endpoint_id: id, events: body.events, dry_run: false });
  await receiver.got(path, before + body.events);
  await settled(tenant);
  const again = receiver.at(path).slice(before);
  return { events: body.events, again: again.map(({ event }) => event.data.n).sort() };
}

test('replays what happened between two moments, both of them included', async () => {
  const [from_time, to_time] = [acme.times[1], acme.times[3]];
  expect(await replayed(acme, { from_time, to_time })).toEqual({ events: 3, again: [1, 2, 3] });
});

test('leaves out what happened a microsecond before or after', async () => {
  const range = { from_time: await beside(acme, 1, 1), to_time: await beside(acme, 3, -1) };
  expect(await replayed(acme, range)).toEqual({ events: 1, again: [2] });
});

test('replays all that has happened since a moment, and all that had until one', async () => {
  expect(await replayed(acme, { from_time: acme.times[2] })).toEqual({ events: 3, again: [2, 3, 4] });
  expect(await replayed(acme, { to_time: acme.times[2] })).toEqual({ events: 3, again: [0, 1, 2] });
});

test('takes a moment in any time zone', async () => {
  const { rows } = await stack.admin.query<{ time: string }>(
    `select to_char($1::timestamptz at time zone 'Asia/Tokyo', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+09:00' as time`,
    [acme.times[3]],
  );
  expect(await replayed(acme, { from_time: rows[0]?.time })).toEqual({ events: 2, again: [3, 4] });
});

test('replays what is both in the times and in the positions', async () => {
  const [first] = await acme.api.deliveries(acme.id);
  const range = { from_position: (first?.position ?? 0) + 1, to_time: acme.times[3] };
  expect(await replayed(acme, range)).toEqual({ events: 3, again: [1, 2, 3] });
});

test('replays nothing where nothing happened', async () => {
  expect(await replayed(acme, { from_time: await beside(acme, COUNT - 1, 1) })).toEqual({ events: 0, again: [] });
});

test('refuses a range that ends before it begins, by time or by position', async () => {
  const { api, id, times } = acme;
  const positions = (await api.deliveries(id)).map(({ position }) => position);
  for (const [from, to] of [
    [1, 3],
    [3, 3],
    [3, 1],
  ] as const) {
    const ranges = [
      { from_time: times[from], to_time: times[to] },
      { from_position: positions[from], to_position: positions[to] },
    ];
    for (const range of ranges) {
      const dry = { id, ...range, dry_run: true };
      const { status, body } = await api.call<Problem & { events: number }>('replay_webhook_deliveries', dry);
      expect([status, from > to ? body.code : body.events]).toEqual(
        from > to ? [422, 'webhook_replay_invalid'] : [200, to - from + 1],
      );
    }
  }
});

test('takes an event as its position or as its id', async () => {
  const { api, id } = acme;
  const [, one, , three] = (await api.deliveries(id)).map(({ position }) => position);
  for (const [from_position, to_position] of [
    [one, three],
    [`${one}`, `evt_${three}`],
    [`evt_${one}`, `evt_${three}`],
  ])
    expect((await replayed(acme, { from_position, to_position })).again).toEqual([1, 2, 3]);
  const { status, body } = await api.call('redeliver_webhook', { id, position: `evt_${three}` });
  expect([status, body]).toEqual([200, { endpoint_id: id, position: three, event_id: `evt_${three}` }]);
  await settled(acme);
  // More than any position is behind the last one.
  expect(await replayed(acme, { from_position: '9'.repeat(19) })).toEqual({ events: 0, again: [] });
});

test('narrows a replay of dead letters to the deliveries that were made in these times', async () => {
  const deliveries = await acme.api.deliveries(acme.id);
  const failed_since = '2020-01-01T00:00:00Z';
  await stack.admin.query(
    `update webhook.deliveries set status = 'dead', dead_at = now(), created_at = '2021-01-01Z'::timestamptz + make_interval(days => n::int)
     from unnest($2::bigint[]) with ordinality as dead (p, n) where endpoint_id = $1 and position = p`,
    [acme.id, deliveries.map(({ position }) => position)],
  );
  const dead = { events: 3, again: [1, 2, 3] };
  const range = { from_time: '2021-01-03T00:00:00Z', to_time: '2021-01-05T00:00:00Z' };
  const { api, id, path } = acme;
  const before = receiver.at(path).length;
  const { body } = await api.call('replay_webhook_deliveries', { id, failed_since, ...range });
  expect(body).toEqual({ endpoint_id: id, events: dead.events, dry_run: false });
  await receiver.got(path, before + dead.events);
  const [first, ...rest] = await api.settled(id, (all) => all.filter((it) => it.status === 'succeeded').length === 3);
  expect([first?.status, rest.at(-1)?.status]).toEqual(['dead', 'dead']);
  const again = receiver.at(path).slice(before);
  expect(again.map(({ event }) => event.data.n).sort()).toEqual(dead.again);
  expect((await replayed(acme, { failed_since })).again).toEqual([0, 4]);
});

test('has sent nothing of it to another tenant, who replays its own and no other', async () => {
  expect(receiver.at(globex.path)).toHaveLength(COUNT);
  const range = { from_time: acme.times[0], to_time: globex.times[2] };
  const refused = await globex.api.call<Problem>('replay_webhook_deliveries', { id: acme.id, ...range });
  expect([refused.status, refused.body.code]).toEqual([404, 'webhook_endpoint_unknown']);
  const before = receiver.at(acme.path).length;
  expect(await replayed(globex, range)).toEqual({ events: 3, again: [0, 1, 2] });
  const sources = receiver.at(globex.path).map(({ event }) => event.source);
  expect(new Set(sources)).toEqual(new Set(['/tenants/t_globex']));
  expect(receiver.at(acme.path)).toHaveLength(before);
});
