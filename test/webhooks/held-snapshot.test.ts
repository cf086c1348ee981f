import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { WORKER_ENV, webhooks } from './api.ts';
import { type Receiver, startReceiver } from './receiver.ts';

// What is delivered while a transaction stays open, and what it leaves behind. Of jobs: test/faults/ledger.test.ts.

let stack: TestStack;
let receiver: Receiver;

beforeAll(async () => {
  receiver = await startReceiver();
  const { privateKey } = await generateKeyPair();
  stack = await createTestStack({ worker: true, env: { ...WORKER_ENV, WEBHOOK_PRIVATE_KEY: privateKey } });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
});

afterAll(async () => {
  await stack?.stop();
  await receiver?.stop();
});

const write = (tenant: string, count: number) =>
  stack.admin.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by)
     select $1, 'file ' || n, 'text/csv', 1, 'test' from generate_series(1, $2::int) as n`,
    [tenant, count],
  );

/** Row versions that vacuum would remove if nobody could see them, by table; the cursors' and the indexes' bytes. */
async function remains() {
  await stack.admin.query('select pg_stat_force_next_flush()');
  const { rows } = await stack.admin.query<{ name: string; dead: number }>(
    `select schemaname || '.' || regexp_replace(relname, '_p\\d+$', '') as name, sum(n_dead_tup)::int as dead
     from pg_stat_all_tables where schemaname in ('ledger', 'webhook') group by 1`,
  );
  const { rows: sizes } = await stack.admin.query<{ cursors: number; updated: number }>(
    `select (select sum(pg_relation_size(oid))::int from pg_class where relname ~ '^cursor_(webhooks|jobs)_') as cursors,
       (select coalesce(sum(n_tup_upd - n_tup_hot_upd), 0)::int from pg_stat_all_tables where schemaname = 'webhook' and relname ~ '^deliveries_p') as updated`,
  );
  const dead = Object.fromEntries(rows.map((row) => [row.name, row.dead]));
  const { 'ledger.consumers': marks = 0, ...others } = dead;
  const ofLedger = Object.entries(others).filter(([name]) => name.startsWith('ledger.'));
  return {
    ledger: Object.fromEntries(ofLedger),
    marks,
    deliveries: dead['webhook.deliveries'] as number,
    states: dead['webhook.endpoint_states'] as number,
    cursors: sizes[0]?.cursors,
    indexed: sizes[0]?.updated,
  };
}

test('a transaction that stays open holds its own slot back, and leaves one old version of each delivery and none of the ledger', async () => {
  const [acme, globex] = [await webhooks(stack, 't_acme'), await webhooks(stack, 't_globex')];
  const held = await acme.create({ url: receiver.url('held'), event_types: ['app.files.*'] });
  const free = await globex.create({ url: receiver.url('free'), event_types: ['app.files.*'] });
  await write('t_globex', 1);
  await receiver.got('free', 1);
  const before = await remains();

  const open = await stack.admin.connect();
  let isOpen = true;
  onTestFinished(() => {
    if (isOpen) open.release(true);
  });
  await open.query('begin isolation level repeatable read');
  await open.query(
    `insert into app.files (tenant_id, name, content_type, size, created_by) values ('t_acme', 'open', 'text/csv', 1, 'test')`,
  );
  const { rows } = await open.query('select pg_backend_pid() as pid, count(*) from ledger.entries');
  const began = Date.now();
  const [rounds, each] = [20, 10];
  for (let round = 1; round <= rounds; round += 1) {
    await write('t_acme', 1);
    await write('t_globex', each);
    await receiver.got('free', 1 + round * each);
  }
  const delivered = await globex.settled(free.id, (all) => all.every(({ status }) => status === 'succeeded'));
  expect(delivered).toHaveLength(1 + rounds * each);
  expect(receiver.at('held')).toEqual([]);
  const { rows: lag } = await stack.admin.query(
    `select entries_behind >= 20 as counted, seconds_behind > 0 as aged, held_back_by as pid
     from ledger.lag() where consumer = 'webhooks' and slot = ledger.slot('t_acme')`,
  );
  expect(lag).toEqual([{ counted: true, aged: true, pid: rows[0].pid }]);

  // The worker's sessions tell their counts a second later.
  await expect
    .poll(async () => (await remains()).deliveries, { timeout: 10_000 })
    .toBeGreaterThan(before.deliveries + rounds);
  const after = await remains();
  expect(after).toMatchObject({ ledger: before.ledger, cursors: before.cursors, indexed: before.indexed });
  // Of each of the two consumers, a row a minute at the most.
  expect(after.marks - before.marks).toBeLessThanOrEqual(2 * (2 + (Date.now() - began) / 60_000));
  // A delivery is inserted, and updated once, without a new index entry. An endpoint's state is saved once a second.
  expect(after.deliveries - before.deliveries).toBeLessThanOrEqual(rounds * each + 1);
  expect(after.states - before.states).toBeLessThanOrEqual(2 * (2 + (Date.now() - began) / 1000));

  await open.query('commit');
  open.release();
  isOpen = false;
  await receiver.got('held', 1 + rounds);
  await acme.settled(held.id, (all) => all.every(({ status }) => status === 'succeeded'));
  const of = (path: string) => new Set(receiver.at(path).map(({ event }) => event.id)).size;
  expect([of('held'), of('free')]).toEqual([1 + rounds, 1 + rounds * each]);
}, 120_000);
