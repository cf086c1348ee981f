import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPool } from '../../functions/database.ts';
import { createSecretOpener, generateKeyPair } from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What an error says that a client can go on with: which field, which arguments, which call instead.

interface Problem {
  status: number;
  code: string;
  detail: string;
  details: string | null;
  hint: string | null;
}

let stack: TestStack;
let acme: string;

/** A table as a DBA would add it, behind a view by hand of which clients do not see all columns. */
const ORDERS = `
  create table app.orders (
    tenant_id tenancy.tenant_id not null,
    id uuid not null default uuidv7(),
    total numeric not null,
    margin numeric not null,
    constraint orders_pkey primary key (tenant_id, id),
    constraint orders_total_range check (total > 0),
    constraint orders_margin_range check (margin > 0)
  ) partition by hash (tenant_id);
  select tenancy.protect('app.orders', partitions => 2);
  create view v1.orders with (security_invoker = true) as select * from app.orders;
  grant select (tenant_id, id, total), insert (id, total) on v1.orders to tenant_user;
  grant select (tenant_id, id, total), insert (id, total) on app.orders to tenant_user;
  alter table app.orders alter margin set default 1`;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await stack.token({ tenant: 't_acme' });
  const { keyId, publicKey } = await createSecretOpener((await generateKeyPair()).privateKey);
  const worker = createPool(stack.database.worker, 'test-worker');
  await worker.query('select webhook.register_sender($1, $2, false)', [keyId, publicKey]);
  await worker.end();
});

afterAll(() => stack?.stop());

async function refused(method: string, path: string, body?: object, token = acme): Promise<Problem> {
  const answer = await http<Problem>(`${stack.edge}/v1/${path}`, { method, token, ...(body ? { body } : {}) });
  expect(answer.status).toBeGreaterThanOrEqual(400);
  return answer.body;
}

const nightly = { name: 'nightly', cron: '@daily', type: 'csv.validate' };
const URL = 'https://hooks.example.com/in';

describe('a value that does not fit', () => {
  test.each<[string, string, string, object, Partial<Problem>]>([
    [
      'a pattern for types of events',
      'POST',
      'rpc/create_webhook_endpoint',
      { url: URL, event_types: ['bad pattern!'] },
      {
        status: 422,
        code: 'webhook_endpoint_invalid',
        details: 'event_types does not fit',
        hint: 'event_types: 1 to 100, words of a-z, A-Z, 0-9, _ and * with dots between them, such as order.*; 10 with a * before the end',
      },
    ],
    [
      'a missing name',
      'POST',
      'job_schedules',
      { ...nightly, name: null },
      { status: 400, code: 'request_invalid', details: 'name: a value is required.' },
    ],
    [
      'a number out of its range',
      'POST',
      'job_schedules',
      { ...nightly, jitter_seconds: -1 },
      { status: 400, code: 'request_invalid', details: 'jitter_seconds: the value breaks a rule of this resource.' },
    ],
    [
      'a missing cron',
      'POST',
      'job_schedules',
      { ...nightly, cron: null },
      { status: 422, code: 'job_schedule_invalid', details: 'cron: a value is required' },
    ],
    [
      'a role that is none',
      'PATCH',
      'members?user_id=eq.viewer',
      { role: 'king' },
      { status: 400, code: 'request_invalid', details: 'role: the value breaks a rule of this resource.' },
    ],
    [
      'a column that is computed',
      'PATCH',
      'webhook_endpoints?enabled=is.true',
      { health: {} },
      {
        status: 400,
        code: 'request_invalid',
        details: 'health: cannot be written.',
        hint: 'PATCH takes: url, event_types, ordering, rate, headers, projection, signing, timeout_ms, enabled, description.',
      },
    ],
    [
      'no type of job',
      'POST',
      'jobs',
      { input: {} },
      {
        status: 422,
        code: 'job_type_unknown',
        details: 'type: a value is required',
        hint: 'give one of: csv.validate',
      },
    ],
    [
      'an unknown type of job',
      'POST',
      'job_schedules',
      { ...nightly, type: 'nothing' },
      {
        status: 422,
        code: 'job_type_unknown',
        details: 'no worker handles nothing',
        hint: 'give one of: csv.validate',
      },
    ],
  ])('is named: %s', async (_what, method, path, body, expected) => {
    expect(await refused(method, path, body)).toMatchObject(expected);
  });

  test('is not named where the client does not see its column', async () => {
    await stack.migrator.query(ORDERS);
    await stack.migrator.query("notify pgrst, 'reload schema'");
    const made = () => http(`${stack.edge}/v1/orders`, { token: acme, body: { total: 1 } });
    await expect.poll(async () => (await made()).status, { timeout: 10_000 }).toBe(201);
    expect(await refused('POST', 'orders', { total: null })).toMatchObject({ details: 'total: a value is required.' });
    const broken = 'the value breaks a rule of this resource.';
    expect(await refused('POST', 'orders', { total: -1 })).toMatchObject({ details: `total: ${broken}` });

    await stack.migrator.query('alter table app.orders alter margin set default -1');
    const hidden = await refused('POST', 'orders', { total: 1 });
    expect(hidden).toMatchObject({ status: 400, details: 'A value breaks a rule of this resource.', hint: null });
    expect(JSON.stringify(hidden)).not.toContain('margin');
    await stack.migrator.query('alter table app.orders alter margin drop default');
    const missing = await refused('POST', 'orders', { total: 1 });
    expect(missing).toMatchObject({ status: 400, details: 'A required value is missing.', hint: null });
    expect(JSON.stringify(missing)).not.toContain('margin');
  });
});

describe('what is not allowed', () => {
  test('names the columns that a client writes', async () => {
    expect(await refused('POST', 'jobs', { type: 'csv.validate', max_attempts: 5 })).toMatchObject({
      ...{ status: 403, code: 'permission_denied', hint: 'POST takes: type, input, idempotency_key, start_after.' },
    });
  });

  test('names the function that makes what POST does not', async () => {
    expect(await refused('POST', 'webhook_endpoints', { url: URL })).toMatchObject({
      ...{ status: 403, code: 'permission_denied', hint: 'Make one with POST /v1/rpc/create_webhook_endpoint.' },
    });
    expect(await refused('POST', 'api_keys', { name: 'x' })).toMatchObject({
      ...{ status: 405, code: 'request_invalid', hint: 'Make one with POST /v1/rpc/create_api_key.' },
    });
  });

  test('tells a viewer whom to ask', async () => {
    const viewer = await stack.token({ tenant: 't_acme', role: 'viewer' });
    const hint = 'Ask an admin of the tenant: POST /v1/rpc/explain_access tells them why, and what would help.';
    expect(await refused('POST', 'jobs', { type: 'csv.validate' }, viewer)).toMatchObject({
      ...{ status: 403, code: 'permission_denied', hint },
    });
  });
});

describe('a call with an argument that does not fit', () => {
  const replay = (range: object) => ['replay_webhook_deliveries', range] as const;
  const noEvent = { code: 'webhook_replay_invalid', hint: 'give its position, such as 17, or its id, evt_17' };
  const backwards = {
    ...{ code: 'webhook_replay_invalid', details: 'the range ends before it begins' },
    hint: 'the earlier position or time is from, the later one to',
  };

  test.each<readonly [string, object, Partial<Problem>]>([
    [
      'test_webhook_endpoint',
      { type: 'no type' },
      { code: 'webhook_endpoint_invalid', hint: 'leave it out, or give one such as order.paid' },
    ],
    [...replay({ from_position: 'order-7' }), { ...noEvent, details: 'from_position is no event' }],
    [...replay({ from_position: 1, to_position: 'test_2' }), { ...noEvent, details: 'to_position is no event' }],
    [...replay({ from_position: -1 }), { ...noEvent, details: 'from_position is no event' }],
    ['redeliver_webhook', { position: 'evt_' }, { ...noEvent, details: 'position is no event' }],
    [...replay({ from_position: 'evt_2', to_position: 1 }), backwards],
    [...replay({ from_time: '2026-01-02T00:00:00Z', to_time: '2026-01-01T00:00:00Z' }), backwards],
    [...replay({}), { code: 'webhook_replay_invalid', details: 'nothing says which events' }],
  ])('is told which: %s %j', async (name, values, expected) => {
    const made = await http<{ id: string }>(`${stack.edge}/v1/rpc/create_webhook_endpoint`, {
      ...{ token: acme, body: { url: URL } },
    });
    expect(made.status).toBe(200);
    const { id } = made.body;
    expect(await refused('POST', `rpc/${name}`, { id, ...values })).toMatchObject({ status: 422, ...expected });
    await http(`${stack.edge}/v1/webhook_endpoints?id=eq.${id}`, { method: 'DELETE', token: acme });
  });
});

describe('a call without its arguments', () => {
  test.each([
    ['cancel_job', {}, 'It needs: id.'],
    ['redeliver_webhook', { id: randomUUID() }, 'It needs: id, position.'],
    ['test_webhook_endpoint', {}, 'It needs: id. Optional: type.'],
  ])('is told them: %s', async (name, body, hint) => {
    expect(await refused('POST', `rpc/${name}`, body)).toMatchObject({ status: 404, code: 'PGRST202', hint });
  });

  test('is told of none, of a function that is not there or not served here', async () => {
    const listed = { hint: 'What there is, and what it takes, is listed at /docs.' };
    expect(await refused('POST', 'rpc/nothing', {})).toMatchObject({ status: 404, code: 'PGRST202', ...listed });
    for (const name of ['guard_job', 'set_tenant_settings']) {
      const { status, code, hint } = await refused('POST', `rpc/${name}`, {});
      expect([name, status, code, hint]).toEqual([name, 404, 'PGRST202', expect.not.stringContaining('It needs')]);
    }
  });
});

test("what is another tenant's is told as what is nowhere: list your own", async () => {
  const created = await http<{ id: string }[]>(`${stack.edge}/v1/jobs`, {
    token: acme,
    headers: { prefer: 'return=representation' },
    body: { type: 'csv.validate' },
  });
  const id = created.body[0]?.id ?? '';
  const globex = await stack.token({ tenant: 't_globex' });
  const theirs = await refused('POST', 'rpc/cancel_job', { id }, globex);
  expect(theirs).toMatchObject({ status: 404, code: 'job_not_found', hint: 'List them: GET /v1/jobs.' });
  expect(theirs).toEqual(await refused('POST', 'rpc/cancel_job', { id: randomUUID() }, globex));
  expect((await http(`${stack.edge}/v1/rpc/cancel_job`, { token: acme, body: { id } })).status).toBe(200);
  expect(await refused('POST', 'rpc/cancel_job', { id })).toMatchObject({
    ...{ status: 409, code: 'job_transition', details: 'a job that is cancelled cannot become cancelled' },
    hint: 'Read its status again. What is queued or running can be cancelled, what is failed or cancelled retried.',
  });
});
