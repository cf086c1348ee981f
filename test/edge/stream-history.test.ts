import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type OpenStream, openStream, type StreamOptions } from './sse.ts';

// What streams do when the ledger is another than the one they have read: a crash, a failover or a restore took the end of it, and its
// positions are drawn again.

let stack: TestStack;
let tenants = 0;
let tenant: string;
let member: string;
const open: OpenStream[] = [];

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.migrator.query(`select ledger.declare_event_type('audit.secret', 'For admins', '{}', 'admin')`);
});
beforeEach(async () => {
  tenants += 1;
  tenant = `t_acme${tenants}`;
  await stack.createTenant(tenant);
  member = await stack.token({ tenant, role: 'member' });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(options: Partial<StreamOptions> = {}): Promise<OpenStream> {
  const stream = await openStream(stack.edge, { token: member, ...options });
  open.push(stream);
  return stream;
}

async function emit(type: string): Promise<number> {
  const { status, body } = await http<{ position: number }>(`${stack.postgrest}/rpc/emit_event`, {
    token: member,
    body: { type },
  });
  expect(status).toBe(200);
  return body.position;
}

const types = (stream: OpenStream) => stream.events.map(({ data }) => data.type ?? data.code);

/** The ledger as of a position and what has been written to it since, and no process that was connected to the one before. */
async function goBack(to: number, since: string[] = []): Promise<void> {
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('delete from ledger.entries where position > $1', [to]);
  await client.query(`select setval('ledger.positions', $1)`, [to]);
  await client.query(
    'select ledger.append_event($1, type, null, null) from unnest($2::text[]) with ordinality as e (type, nth) order by nth',
    [tenant, since],
  );
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'rowhouse-edge%'`,
  );
  await client.query('commit');
  client.release();
}

test.each([
  ['that it had read past', 5],
  ['further than that', 60],
])('a stream whose last event is still there gets what comes, at positions %s', async (_, written) => {
  const [one, other] = [await listen(), await listen({ query: '?types=order.*' })];
  const at = await emit('order.one');
  for (const stream of [one, other]) await stream.take(1);
  // Read for both roles at once, and shown to one: the other's streams are past it.
  const admin = await listen({ token: await stack.token({ tenant, role: 'admin' }) });
  for (let nth = 0; nth < 40; nth++) await emit('audit.secret');
  await admin.take(40);
  const since = Array.from({ length: written }, (_unused, nth) => `order.new_${nth}`);
  await goBack(at, since);
  for (const stream of [one, other]) {
    await stream.take(1 + written);
    expect(types(stream)).toEqual(['order.one', ...since]);
    expect(stream.reason()).toBeUndefined();
  }
});

test('one whose last event is gone ends and says so, and the next one of the same edge gets what comes', async () => {
  const kept = await emit('order.one');
  const [live, filtered] = [await listen(), await listen({ query: '?types=order.*' })];
  for (let nth = 0; nth < 40; nth++) await emit('order.lost');
  for (const stream of [live, filtered]) await stream.take(40);
  await goBack(kept);
  let next = await listen();
  await expect
    .poll(async () => {
      if (next.status !== 200) next = await listen();
      return next.status;
    })
    .toBe(200);
  await emit('order.two');
  for (const stream of [live, filtered]) {
    expect(await stream.ended).toBe('ended');
    expect(stream.reason()).toMatchObject({ code: 'event_unknown', hint: expect.stringMatching(/v1\.events/) });
  }
  await next.take(1);
  expect(types(next)).toContain('order.two');
});

test('a stream goes on where it was when the edge has lost the database and nothing else has happened', async () => {
  const stream = await listen();
  const at = await emit('order.one');
  await stream.take(1);
  await goBack(at);
  await emit('order.two');
  await stream.take(2);
  const resumed = await listen({ headers: { 'last-event-id': `evt_${at}` } });
  await resumed.take(1);
  expect([types(stream), types(resumed)]).toEqual([['order.one', 'order.two'], ['order.two']]);
});
