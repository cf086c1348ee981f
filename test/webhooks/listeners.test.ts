import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// Whose entries webhook.dispatch() looks at: those of tenants with endpoints, until there are too many of them. No worker: each step is the test's.

/** Up to 64 tenants with endpoints are asked for one by one. */
const OTHERS = Array.from({ length: 64 }, (_, nth) => `t_other_${nth}`);

let stack: TestStack;
let worker: Pool;
/** Two tenants of one slot, and one of another. */
let listener: string;
let neighbour: string;
let elsewhere: string;

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  worker = createPool(stack.database.worker, 'test-worker', 1);
  const { rows } = await stack.admin.query<{ ids: string[] }>(
    `select array_agg(id order by id) as ids from (select 't_' || n as id from generate_series(1, 99) as n) as t
     group by ledger.slot(id) having count(*) > 1 order by min(id) limit 2`,
  );
  [listener = '', neighbour = ''] = rows[0]?.ids ?? [];
  [elsewhere = ''] = rows[1]?.ids ?? [];
  for (const tenant of [listener, neighbour, elsewhere, ...OTHERS]) await stack.createTenant(tenant);
});

afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

/** Everything is dispatched, and nothing is to be delivered. */
async function settle(): Promise<void> {
  while ((await dispatch()).length > 0);
  while ((await dispatchBacklogs()) !== null);
  await stack.admin.query('delete from webhook.deliveries');
}

beforeEach(async () => {
  await stack.admin.query('delete from webhook.endpoint_states; delete from webhook.endpoints');
  await settle();
});

/** To which nothing has been delivered, and that includes the event of their own making. */
async function makeEndpoints(tenant: string, count = 1, type = 'test.*'): Promise<void> {
  await stack.admin.query(
    `with made as (
       insert into webhook.endpoints (tenant_id, url, event_types)
       select $1, 'https://hooks.example.com/', array[$2] from generate_series(1, $3) returning tenant_id, id
     ) insert into webhook.endpoint_states (tenant_id, endpoint_id) select tenant_id, id from made`,
    [tenant, type, count],
  );
  await settle();
}

const disable = (tenant: string) =>
  stack.admin.query(
    `update webhook.endpoints set (enabled, disabled_reason, disabled_at) = (false, 'by_request', now()) where tenant_id = $1`,
    [tenant],
  );

/** Written, and not committed. */
async function begin(tenant: string, count = 1): Promise<pg.PoolClient> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant, role: 'admin' })]);
  await client.query(`select v1.emit_event('test.event', 's', '{}') from generate_series(1, $1)`, [count]);
  return client;
}

async function emit(tenant: string, count = 1): Promise<void> {
  const client = await begin(tenant, count);
  await client.query('commit');
  client.release();
}

interface Slot {
  slot: number;
  position: string;
  entries: number | null;
  has_backlogs: boolean;
}

async function dispatch(maxEntries = 100, wide: string[] = []): Promise<Slot[]> {
  const { rows } = await worker.query<Slot>('select * from webhook.dispatch(16, $1, $2) where slot is not null', [
    maxEntries,
    wide,
  ]);
  await worker.query(`select ledger.advance('webhooks', $1, $2)`, [
    rows.map(({ slot }) => slot),
    rows.map(({ position }) => position),
  ]);
  return rows;
}

/** Of a round. */
async function dispatchBacklogs(maxEntries = 100): Promise<number | null> {
  const { rows } = await worker.query<{ entries: number }>(
    'select entries from webhook.dispatch_backlogs(16, $1) where endpoint_id is null',
    [maxEntries],
  );
  return rows[0]?.entries ?? null;
}

const looked = (slots: Slot[]) => slots.reduce((sum, { entries }) => sum + (entries ?? 0), 0);

const delivered = async () =>
  (
    await stack.admin.query<{ tenant: string; position: string }>(
      'select tenant_id as tenant, position from webhook.deliveries order by position',
    )
  ).rows;
const written = async (count: number, ...tenants: string[]) =>
  (
    await stack.admin.query<{ tenant: string; position: string }>(
      `select tenant_id as tenant, position from (
         select * from ledger.entries where table_name = 'test.event' order by position desc limit $2) as e
       where tenant_id = any ($1) order by position`,
      [tenants, count],
    )
  ).rows;
const behind = async () =>
  (
    await stack.migrator.query(
      `select sum(entries_behind)::int as entries from ledger.lag() where consumer = 'webhooks'`,
    )
  ).rows[0].entries;

describe('while nobody has an endpoint', () => {
  test('no entry is looked at, and none is behind', async () => {
    await emit(listener, 3);
    const slots = await dispatch();
    expect(slots).toHaveLength(16);
    expect(slots.every(({ entries }) => entries === null)).toBe(true);
    expect(await behind()).toBe(0);
    expect(await dispatch()).toEqual([]);
  });

  test('or none that is enabled, it is the same', async () => {
    await makeEndpoints(listener);
    await disable(listener);
    await emit(listener, 3);
    expect((await dispatch()).every(({ entries }) => entries === null)).toBe(true);
    expect(await delivered()).toEqual([]);
  });

  test('a transaction that wrote before there was one, and commits after, is heard', async () => {
    const open = await begin(listener);
    expect((await dispatch()).every(({ entries }) => entries === null)).toBe(true);
    await makeEndpoints(listener);
    await open.query('commit');
    open.release();
    await dispatch();
    expect(await delivered()).toEqual(await written(1, listener));
  });
});

describe('while few have one', () => {
  test('their entries are looked at, and no one else’s', async () => {
    await makeEndpoints(listener);
    await emit(neighbour, 5);
    await emit(listener, 2);
    await emit(elsewhere, 3);
    await emit(listener);
    const slots = await dispatch();
    expect(slots).toHaveLength(16);
    expect(looked(slots)).toBe(3);
    expect(await delivered()).toEqual(await written(11, listener));
    expect(await behind()).toBe(0);
  });

  test('of a slot with more than a round those with a fifth of it are set aside, and nobody waits for them', async () => {
    for (const tenant of [listener, neighbour, elsewhere]) await makeEndpoints(tenant);
    await emit(neighbour, 25);
    await emit(listener, 2);
    await emit(elsewhere, 10);
    const slots = await dispatch(10);
    expect(looked(slots)).toBe(12);
    expect(slots.every(({ has_backlogs }) => has_backlogs)).toBe(true);
    expect(await delivered()).toEqual(await written(37, listener, elsewhere));
    expect(await behind()).toBe(25);

    const rounds = [];
    for (let nth = 0; nth < 4; nth += 1) rounds.push(await dispatchBacklogs(10));
    expect(rounds).toEqual([10, 10, 5, null]);
    expect(await delivered()).toEqual(await written(37, listener, elsewhere, neighbour));
    expect(await behind()).toBe(0);
    await emit(neighbour);
    expect(looked(await dispatch(10))).toBe(1);
  });

  test('one that is set aside and ends its endpoints has nothing more handed over', async () => {
    await makeEndpoints(listener);
    await emit(listener, 25);
    await dispatch(10);
    await disable(listener);
    await dispatch(10);
    expect([await dispatchBacklogs(10), await dispatchBacklogs(10)]).toEqual([0, null]);
    expect(await delivered()).toEqual([]);
    expect(await behind()).toBe(0);
  });

  test('one that has many endpoints is set aside with each event, and as many deliveries are made of a round as of others', async () => {
    await makeEndpoints(listener, 20);
    await makeEndpoints(neighbour, 8);
    const { rows } = await worker.query('select webhook.wide_listeners() as wide');
    expect(rows[0].wide).toEqual([listener]);
    await emit(listener, 7);
    await emit(neighbour);
    expect(looked(await dispatch(10, [listener]))).toBe(1);
    const rounds = [await dispatchBacklogs(10), await dispatchBacklogs(10), await dispatchBacklogs(10)];
    expect(rounds).toEqual([4, 3, null]);
    expect(await delivered()).toHaveLength(7 * 20 + 8);
  });

  test('a table that makes no events makes no deliveries', async () => {
    await makeEndpoints(listener, 1, '*');
    await stack.admin.query(
      `insert into ledger.entries (tenant_id, slot, table_name, operation, new) values ($1::text, ledger.slot($1::text), 'app.secret', 'insert', '{}')`,
      [listener],
    );
    expect(looked(await dispatch())).toBe(1);
    expect(await delivered()).toEqual([]);
  });
});

describe('once more have one than are worth asking for', () => {
  test('all entries are looked at, and the same are delivered', async () => {
    for (const tenant of OTHERS.slice(1)) await makeEndpoints(tenant);
    await makeEndpoints(listener, 20);
    for (const tenant of [neighbour, listener, elsewhere]) await emit(tenant, 2);
    expect(looked(await dispatch())).toBe(2);
    expect(await delivered()).toHaveLength(40);

    await makeEndpoints(OTHERS[0] ?? '');
    for (const tenant of [neighbour, listener, elsewhere]) await emit(tenant, 2);
    expect(looked(await dispatch())).toBe(6);
    expect(await delivered()).toHaveLength(40);
    expect(await behind()).toBe(0);
  });

  test('those with much are set aside, and who comes after a thousand of theirs is heard in the same round', async () => {
    for (const tenant of OTHERS) await makeEndpoints(tenant);
    await makeEndpoints(listener);
    await emit(neighbour, 990);
    await emit(listener);
    const slots = await dispatch(10);
    expect(looked(slots)).toBe(1);
    expect(slots.every(({ has_backlogs }) => has_backlogs)).toBe(true);
    expect(await delivered()).toEqual(await written(1, listener));
    expect(await dispatchBacklogs()).toBe(0);
    expect(await behind()).toBe(0);
  });
});
