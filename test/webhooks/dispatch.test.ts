import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { registerSender } from '../../functions/prove/sender.ts';
import { until } from '../../functions/stack/until.ts';
import { startDispatch } from '../../functions/worker/webhooks/dispatch.ts';
import type { EndTurn } from '../../functions/worker/webhooks/pacing.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { webhooks } from './api.ts';

// Events to deliveries, of a tenant with many and of one with few, which the ledger keeps apart.

const MANY = 't_many';
let few: string;
let stack: TestStack;
let dispatch: ReturnType<typeof startDispatch>;
/** Turns for work on a backlog that were asked for and not given. */
let turns: ((end: EndTurn) => void)[] = [];
let gate: 'open' | 'closed' = 'open';

beforeAll(async () => {
  stack = await createTestStack();
  const client = await stack.admin.connect();
  await registerSender(client);
  client.release();
  const { rows } = await stack.admin.query<{ id: string }>(
    `select 't_few_' || n as id from generate_series(1, 99) as n where ledger.slot('t_few_' || n) <> ledger.slot($1) limit 1`,
    [MANY],
  );
  few = rows[0]?.id ?? expect.fail('every tenant has the same slot');
  for (const tenant of [MANY, few]) {
    await stack.createTenant(tenant);
    await (await webhooks(stack, tenant)).create({ url: 'https://hooks.example.com/', event_types: ['test.*'] });
  }
  const nothing: EndTurn = () => {};
  dispatch = startDispatch({
    connectionString: stack.database.worker,
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

test('hands over what comes into other slots while a backlog waits for its turn, and then all of it', async () => {
  gate = 'closed';
  await emit(MANY, 1000);
  expect(await until(async () => turns.length > 0, { timeoutMs: 10_000 })).toBe(true);
  const before = await count(MANY);
  expect(before).toBeLessThan(1000);
  for (let nth = 1; nth <= 3; nth += 1) {
    await emit(few, 1);
    // Woken, not found by a look that comes every three seconds.
    expect(await reaches(few, nth, 2000)).toBe(true);
  }
  expect(await count(MANY)).toBe(before);
  letThrough();
  expect(await reaches(MANY, 1000)).toBe(true);
  // Its slot is like any other again.
  await emit(MANY, 1);
  expect(await reaches(MANY, 1001, 2000)).toBe(true);
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
