import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { record } from '../../functions/worker/webhooks/records.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

/** What a tenant can have the others wait for, and what is left of what it deletes. No worker: each step is the test's. */

let stack: TestStack;
let worker: Pool;
/** Transactions that a test has left open. */
const open = new Set<pg.PoolClient>();

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  worker = createPool(stack.database.worker, 'test-worker', 4);
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
});

afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

beforeEach(dispatch);

afterEach(async () => {
  for (const client of open) await client.query('rollback').finally(() => client.release());
  open.clear();
});

async function makeEndpoint(tenant: string, type: string, ordering = 'none'): Promise<string> {
  const { rows } = await stack.admin.query<{ id: string }>(
    `with made as (
       insert into webhook.endpoints (tenant_id, url, event_types, ordering)
       values ($1, 'https://hooks.example.com/', array[$2], $3) returning tenant_id, id
     ) insert into webhook.endpoint_states (tenant_id, endpoint_id) select tenant_id, id from made returning endpoint_id as id`,
    [tenant, type, ordering],
  );
  return rows[0]?.id ?? '';
}

/** A transaction of a tenant's admin, which stays open. */
async function begin(tenant: string): Promise<pg.PoolClient> {
  const client = await stack.admin.connect();
  open.add(client);
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant, role: 'admin' })]);
  return client;
}

async function commit(client: pg.PoolClient): Promise<void> {
  await client.query('commit');
  open.delete(client);
  client.release();
}

async function emit(tenant: string, type: string, subject = 's'): Promise<number> {
  const client = await begin(tenant);
  const { rows } = await client.query(`select v1.emit_event($1, $2, '{}') as emitted`, [type, subject]);
  await commit(client);
  return Number(rows[0]?.emitted.position);
}

/** @throws when it has to wait for anybody */
async function dispatch(): Promise<void> {
  const client = await worker.connect();
  try {
    await client.query(`set statement_timeout = '3s'`);
    const { rows } = await client.query('select slot, position from webhook.dispatch(16, 100) where slot is not null');
    await client.query(`select ledger.advance('webhooks', $1, $2)`, [
      rows.map(({ slot }) => slot),
      rows.map(({ position }) => position),
    ]);
    await client.query('reset statement_timeout');
  } finally {
    client.release();
  }
}

async function deliveriesOf(endpoint: string) {
  const { rows } = await stack.admin.query(
    'select position::int, status, next_attempt_at as next from webhook.deliveries where endpoint_id = $1 order by position',
    [endpoint],
  );
  return rows;
}

const failed = (t: string, e: string, p: number, response: string | null = null) => ({
  ...{ t, e, p, attempt: 1, status: 'pending' as const, code: 500, error: null, latency: 1, response },
  ...{ at: Date.now(), next_at: Date.now() + 60_000 },
});
const onlyResults = (...results: ReturnType<typeof failed>[]) => ({ results, parked: [], freed: [], states: [] });

test('dispatches for all while a replay is open, and what that covered, too', async () => {
  const [mine, theirs] = [await makeEndpoint('t_acme', 'open.*'), await makeEndpoint('t_globex', 'open.*')];
  const position = await emit('t_acme', 'open.event');
  await emit('t_globex', 'open.event');
  const replay = await begin('t_acme');
  const { rows } = await replay.query('select webhook.replay($1, $2, $3, $3)::int as events', [
    't_acme',
    mine,
    position,
  ]);
  expect(rows[0]?.events).toBe(1);
  await dispatch();
  expect(await deliveriesOf(theirs)).toHaveLength(1);
  await commit(replay);
  expect(await deliveriesOf(mine)).toMatchObject([{ position, status: 'pending' }]);
});

test('dispatches and records for all while an endpoint is being deleted', async () => {
  const [mine, theirs] = [await makeEndpoint('t_acme', 'gone.*'), await makeEndpoint('t_globex', 'gone.*')];
  const first = await emit('t_acme', 'gone.event');
  await dispatch();
  await emit('t_acme', 'gone.event');
  await emit('t_globex', 'gone.event');
  // The deletion is in the ledger, too, and holds what comes after it back: 32 positions at a time.
  await stack.admin.query(`select setval('ledger.positions', last_value + 64) from ledger.positions`);
  const deletion = await begin('t_acme');
  await deletion.query('delete from webhook.endpoints where id = $1', [mine]);
  await dispatch();
  const [delivery] = await deliveriesOf(theirs);
  expect(
    await record(worker, onlyResults(failed('t_globex', theirs, delivery.position), failed('t_acme', mine, first))),
  ).toBe(2);
  // Of the endpoint itself nothing can be saved now: that is said soon, not waited for.
  const state = {
    generation: 1,
    watermark: 0,
    circuit: 'closed',
    opened: 0,
    paused: null,
    failing: null,
    failures: 1,
    error: null,
  };
  const saving = record(worker, { results: [], parked: [], freed: [], states: [{ t: 't_acme', e: mine, ...state }] });
  await expect(saving).rejects.toMatchObject({ code: '55P03' });
  await commit(deletion);
  const left = async () =>
    (
      await stack.admin.query(
        `select (select count(*)::int from webhook.deliveries where endpoint_id = $1) as deliveries,
         (select count(*)::int from webhook.attempts where endpoint_id = $1) as attempts`,
        [mine],
      )
    ).rows[0];
  expect(await left()).toEqual({ deliveries: 2, attempts: 1 });
  const client = await begin('t_acme');
  await client.query('set local role tenant_user');
  for (const view of ['webhook_deliveries', 'webhook_attempts', 'webhook_blocked_keys'])
    expect([view, (await client.query(`select from v1.${view} where endpoint_id = $1`, [mine])).rowCount]).toEqual([
      view,
      0,
    ]);
  await commit(client);
  expect((await worker.query('select webhook.purge_orphans()::int as removed')).rows[0]?.removed).toBe(3);
  expect(await left()).toEqual({ deliveries: 0, attempts: 0 });
  expect(await deliveriesOf(theirs)).toHaveLength(1);
});

test('removes what a tenant was sent with the tenant', async () => {
  await stack.createTenant('t_leaving');
  const endpoint = await makeEndpoint('t_leaving', 'leaving.*');
  await emit('t_leaving', 'leaving.event');
  await dispatch();
  expect(await deliveriesOf(endpoint)).toHaveLength(1);
  await stack.migrator.query(`delete from tenancy.tenants where id = 't_leaving'`);
  expect(await deliveriesOf(endpoint)).toEqual([]);
});

test('records what came of events with long subjects, and answers that no text can be', async () => {
  const endpoint = await makeEndpoint('t_acme', 'odd.*', 'subject');
  // Not compressible: an index would refuse it.
  const { rows } = await stack.admin.query(
    `select string_agg(md5(n::text), '') as subject from generate_series(1, 90) n`,
  );
  const client = await begin('t_acme');
  await client.query(`select ledger.append_event('t_acme', 'odd.event', $1, '{}')`, [rows[0]?.subject]);
  await commit(client);
  await dispatch();
  const [{ position }] = await deliveriesOf(endpoint);
  expect(await record(worker, onlyResults(failed('t_acme', endpoint, position, 'a\0b \ud83d')))).toBe(1);
  const { rows: stored } = await stack.admin.query(
    'select response, length(ordering_key) as length from webhook.deliveries where endpoint_id = $1',
    [endpoint],
  );
  expect(stored).toEqual([{ response: 'a\ufffdb \ufffd', length: 64 }]);
});

test('waits for the disk before it says that an endpoint is disabled', async () => {
  const endpoint = await makeEndpoint('t_acme', 'disk.*');
  const client = await worker.connect();
  await client.query('begin; set local synchronous_commit = off');
  await client.query(`select webhook.disable('t_acme', $1, 'gone')`, [endpoint]);
  expect((await client.query('show synchronous_commit')).rows).toEqual([{ synchronous_commit: 'on' }]);
  await client.query('commit');
  client.release();
});

test('purges what is old behind what is not settled, and leaves no order waiting for the dead', async () => {
  const endpoint = await makeEndpoint('t_acme', 'old.*', 'endpoint');
  const old = `now() - interval '40 days'`;
  await stack.admin.query(
    `insert into webhook.deliveries (tenant_id, endpoint_id, position, event_type, ordering_key, status, created_at, next_attempt_at)
     select 't_acme', $1, n - 20000, 'old.event', '', case when n <= 10050 then 'pending' else 'succeeded' end, ${old},
       case when n = 1 then now() when n <= 10050 then 'infinity' end
     from generate_series(1, 10060) n`,
    [endpoint],
  );
  const purge = async () => (await worker.query('select webhook.purge_deliveries()::int as done')).rows[0]?.done;
  expect(await purge()).toBe(10);
  const held = async () =>
    (
      await stack.admin.query(
        `select status, next_attempt_at = 'infinity' as blocked, count(*)::int from webhook.deliveries where endpoint_id = $1 group by 1, 2 order by 1, 2`,
        [endpoint],
      )
    ).rows;
  expect(await held()).toEqual([
    { status: 'pending', blocked: false, count: 1 },
    { status: 'pending', blocked: true, count: 10049 },
  ]);
  const client = await begin('t_acme');
  await client.query(`update webhook.endpoints set enabled = false where id = $1`, [endpoint]);
  await commit(client);
  await stack.admin.query('alter table webhook.endpoints disable trigger guard_endpoint');
  const past = await begin('t_acme');
  await past.query(`update webhook.endpoints set disabled_at = now() - interval '15 days' where id = $1`, [endpoint]);
  await commit(past);
  await stack.admin.query('alter table webhook.endpoints enable trigger guard_endpoint');
  expect(await purge()).toBe(10000);
  expect((await held()).slice(1)).toEqual([
    { status: 'pending', blocked: false, count: 1 },
    { status: 'pending', blocked: true, count: 49 },
  ]);
});
