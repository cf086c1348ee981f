import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { registerSender } from '../../functions/prove/sender.ts';
import { until } from '../../functions/stack/until.ts';
import { startDispatch } from '../../functions/worker/webhooks/dispatch.ts';
import type { EndTurn } from '../../functions/worker/webhooks/pacing.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { webhooks } from './api.ts';

// Events to deliveries, of a tenant with many and of those with few, whether they share its slot of the ledger or not.

const MANY = 't_many';
let few: string;
let neighbour: string;
let stack: TestStack;
let pool: Pool;
let dispatch: ReturnType<typeof startDispatch>;
/** Turns for work on a backlog that were asked for and not given. */
let turns: ((end: EndTurn) => void)[] = [];
let gate: 'open' | 'closed' = 'open';

beforeAll(async () => {
  stack = await createTestStack();
  const client = await stack.admin.connect();
  await registerSender(client);
  client.release();
  const { rows } = await stack.admin.query<{ few: string; neighbour: string }>(
    `select min(id) filter (where ledger.slot(id) <> ledger.slot($1)) as few, min(id) filter (where ledger.slot(id) = ledger.slot($1)) as neighbour
     from (select 't_few_' || n as id from generate_series(1, 99) as n) as t`,
    [MANY],
  );
  ({ few, neighbour } = rows[0] ?? expect.fail('every tenant has the same slot'));
  for (const tenant of [MANY, few, neighbour]) {
    await stack.createTenant(tenant);
    await (await webhooks(stack, tenant)).create({ url: 'https://hooks.example.com/', event_types: ['test.*'] });
  }
  const nothing: EndTurn = () => {};
  pool = createPool(stack.database.worker, 'test-worker', 1);
  dispatch = startDispatch({
    connectionString: stack.database.worker,
    pool,
    engine: {
      wake: () => {},
      turn: () => (gate === 'open' ? Promise.resolve(nothing) : new Promise((resolve) => turns.push(resolve))),
    },
    log: pino({ level: 'silent' }),
  });
});

afterAll(async () => {
  letThrough();
  await dispatch?.stop();
  await pool?.end();
  await stack?.stop();
});

function letThrough(): void {
  gate = 'open';
  for (const resolve of turns) resolve(() => {});
  turns = [];
}

async function emit(tenant: string, count: number): Promise<void> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant })]);
  await client.query('set local role tenant_user');
  await client.query(
    `select v1.emit_event('test.event', 's', jsonb_build_object('n', n)) from generate_series(1, $1::int) n`,
    [count],
  );
  await client.query('commit');
  client.release();
}

async function count(tenant: string): Promise<number> {
  const { rows } = await stack.admin.query<{ count: number }>(
    'select count(*)::int as count from webhook.deliveries where tenant_id = $1',
    [tenant],
  );
  return rows[0]?.count ?? 0;
}
const reaches = (tenant: string, wanted: number, timeoutMs = 10_000) =>
  until(async () => (await count(tenant)) === wanted, { timeoutMs, intervalMs: 20 });

test('hands over what comes of others while a backlog waits for its turn, and then all of it', async () => {
  gate = 'closed';
  await emit(MANY, 1000);
  expect(await until(async () => turns.length > 0, { timeoutMs: 10_000 })).toBe(true);
  const before = await count(MANY);
  expect(before).toBeLessThan(1000);
  for (let nth = 1; nth <= 3; nth += 1) {
    for (const tenant of [few, neighbour]) {
      await emit(tenant, 1);
      // Woken, not found by a look that comes every three seconds.
      expect(await reaches(tenant, nth, 2000)).toBe(true);
    }
  }
  await emit(MANY, 1);
  expect(await count(MANY)).toBe(before);
  letThrough();
  expect(await reaches(MANY, 1001)).toBe(true);
  await emit(MANY, 1);
  expect(await reaches(MANY, 1002, 2000)).toBe(true);
});

test('a tenant whose events go to many endpoints waits for its turn with each of them, and nobody else does', async () => {
  const api = await webhooks(stack, few);
  for (let nth = 0; nth < 8; nth += 1) await api.create({ url: 'https://hooks.example.com/', event_types: ['test.*'] });
  const handed = await count(few);
  // Who has many is looked up every three seconds.
  await delay(3500);
  gate = 'closed';
  await emit(few, 1);
  expect(await until(async () => turns.length > 0, { timeoutMs: 10_000 })).toBe(true);
  const others = await count(neighbour);
  await emit(neighbour, 1);
  expect(await reaches(neighbour, others + 1, 2000)).toBe(true);
  expect(await count(few)).toBe(handed);
  letThrough();
  expect(await reaches(few, handed + 9)).toBe(true);
  await stack.admin.query(
    'delete from webhook.endpoints where tenant_id = $1 and created_at > (select min(created_at) from webhook.endpoints where tenant_id = $1)',
    [few],
  );
  await delay(3500);
});

test('keeps no event of a steady trickle waiting for those that come after it', async () => {
  const begun = await count(few);
  for (let nth = 0; nth < 100; nth += 1) {
    await emit(few, 1);
    await delay(5);
  }
  expect(await reaches(few, begun + 100)).toBe(true);
  const { rows } = await stack.admin.query<{ middle: number; longest: number }>(
    `select percentile_cont(0.5) within group (order by waited) as middle, max(waited) as longest
     from (
       select extract(epoch from d.created_at - e.occurred_at)::float8 * 1000 as waited
       from webhook.deliveries as d
       join ledger.entries as e on e.tenant_id = d.tenant_id and e.position = d.position
       where d.tenant_id = $1
       order by d.position desc
       limit 100) as last`,
    [few],
  );
  // Rounds gather for 15 ms at the most; the rest is the machine's.
  expect(rows[0]?.middle).toBeLessThan(100);
  expect(rows[0]?.longest).toBeLessThan(1000);
});
