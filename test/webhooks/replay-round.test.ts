import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool, type Pool } from '../../functions/database.ts';
import { registerSender } from '../../functions/prove/sender.ts';
import { until } from '../../functions/stack/until.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { webhooks } from './api.ts';

// A round of dispatch that takes long, as others' events can make it. No worker: each step is the test's.

const ACME = 't_acme';
let stack: TestStack;
let worker: Pool;

beforeAll(async () => {
  stack = await createTestStack();
  const client = await stack.admin.connect();
  await registerSender(client);
  client.release();
  worker = createPool(stack.database.worker, 'test-worker', 2);
  for (const tenant of [ACME, 't_globex']) await stack.createTenant(tenant);
});
afterAll(async () => {
  await worker?.end();
  await stack?.stop();
});

async function emit(count: number): Promise<void> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: ACME, role: 'admin' })]);
  await client.query(`select v1.emit_event('test.event', 's', '{}') from generate_series(1, $1)`, [count]);
  await client.query('commit');
  client.release();
}

interface Slot {
  slot: number | null;
  position: string;
}

/** A round, in a transaction that ends when the test says so. */
async function beginRound() {
  const client = await worker.connect();
  await client.query('begin');
  const { rows } = await client.query<Slot>('select * from webhook.dispatch(16, 1000)');
  const slots = rows.filter(({ slot }) => slot !== null);
  return async () => {
    await client.query('commit');
    await client.query(`select ledger.advance('webhooks', $1, $2)`, [
      slots.map(({ slot }) => slot),
      slots.map(({ position }) => position),
    ]);
    client.release();
  };
}

test('a replay waits for a round that saw its endpoint disabled, and delivers what that has passed by', async () => {
  // Somebody listens: entries are looked at.
  await (await webhooks(stack, 't_globex')).create({ url: 'https://hooks.example.com/' });
  const acme = await webhooks(stack, ACME);
  const { id } = await acme.create({ url: 'https://hooks.example.com/', event_types: ['test.*'] });
  await acme.change(id, { enabled: false });
  await (await beginRound())();
  await emit(3);
  const endRound = await beginRound();
  await acme.change(id, { enabled: true });

  const replay = acme.call('replay_webhook_deliveries', { id, from_position: 1 });
  const waits = async () =>
    (await stack.admin.query(`select from pg_locks where locktype = 'advisory' and not granted`)).rowCount === 1;
  expect(await until(waits, { timeoutMs: 5000, intervalMs: 10 })).toBe(true);
  await endRound();
  expect(await replay).toMatchObject({ status: 200, body: { events: 3 } });
  expect(await acme.deliveries(id)).toHaveLength(3);
  await (await beginRound())();
  expect(await acme.deliveries(id)).toHaveLength(3);
});
