import { afterAll, beforeAll, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
});
afterAll(() => stack?.stop());

async function set(id: string, settings: object, token?: string) {
  return http<Record<string, unknown>>(`${stack.postgrest}/rpc/set_tenant_settings`, {
    method: 'POST',
    token: token ?? (await stack.operatorToken()),
    headers: { 'content-profile': 'admin' },
    body: { id, settings },
  });
}

async function settingsOf(id: string): Promise<Record<string, unknown> | null> {
  const { rows } = await stack.admin.query('select tenancy.settings_of($1) as settings', [id]);
  return rows[0].settings;
}

test('a tenant has the settings of its plan', async () => {
  expect(await settingsOf('t_acme')).toMatchObject({
    tenantId: 't_acme',
    slug: 't-acme',
    tier: 'standard',
    limits: { read: { rate: 500, burst: 1000 } },
    shadow: false,
    concurrency: 4,
    queueMs: 2000,
    corsOrigins: [],
    pool: null,
  });
  expect(await settingsOf('t_nobody')).toBeNull();
});

test('an operator sets what differs, member by member, and gives it back with null', async () => {
  const first = await set('t_acme', { read_rate: 7, queue_wait: '150 ms', cors_origins: ['https://acme.example'] });
  expect([first.status, first.body]).toMatchObject([200, { read_rate: 7, write_rate: null, cache_enabled: true }]);
  await set('t_acme', { rate_shadow: true });
  expect(await settingsOf('t_acme')).toMatchObject({
    limits: { read: { rate: 7, burst: 1000 }, write: { rate: 100, burst: 200 } },
    shadow: true,
    queueMs: 150,
    corsOrigins: ['https://acme.example'],
  });
  expect(await settingsOf('t_globex')).toMatchObject({ limits: { read: { rate: 500 } }, shadow: false });
  await set('t_acme', { read_rate: null, rate_shadow: false });
  expect(await settingsOf('t_acme')).toMatchObject({ limits: { read: { rate: 500 } }, shadow: false, queueMs: 150 });
});

test.each([
  [{ read_rate: 0 }, 'tenant_settings_rates_positive does not hold'],
  [{ queue_length: -1 }, 'tenant_settings_requests_positive does not hold'],
  [{ queue_wait: '61 s' }, 'tenant_settings_queue_wait_range does not hold'],
  [{ queue_wait: '-1 s' }, 'tenant_settings_queue_wait_range does not hold'],
  [{ statement_timeout: '2 hours' }, 'tenant_settings_statement_timeout_range does not hold'],
  [{ cors_origins: ['https://acme.example', '*'] }, 'tenant_settings_cors_origins_form does not hold'],
  [{ cors_origins: [null] }, 'tenant_settings_cors_origins_form does not hold'],
  [{ cache_enabled: 'perhaps' }, 'the type of a value does not hold'],
  [{ colour: 'red' }, 'no setting is called colour'],
  [{ tenant_id: 't_globex' }, 'no setting is called tenant_id'],
])('refuses %j', async (settings, details) => {
  const { status, body } = await set('t_globex', settings);
  expect([status, body]).toMatchObject([422, { code: 'tenant_invalid', details }]);
});

test('refuses a tenant that is none, and everybody who is no operator', async () => {
  expect(await set('t_nobody', {})).toMatchObject({ status: 404, body: { code: 'tenant_unknown' } });
  const owner = await set('t_acme', { read_rate: 9 }, await stack.token({ tenant: 't_acme' }));
  expect([owner.status, owner.body.code]).toEqual([403, '42501']);
});

test('a host is the tenant’s whose domain or slug it is', async () => {
  await stack.migrator.query(`insert into tenancy.domains (host, tenant_id) values ('data.acme.example', 't_acme')`);
  const tenantOf = async (host: string, label: string | null) =>
    (await stack.admin.query('select tenancy.tenant_of_host($1, $2) as id', [host, label])).rows[0].id;
  expect(await tenantOf('data.acme.example', null)).toBe('t_acme');
  expect(await tenantOf('t-globex.rowhouse.example', 't-globex')).toBe('t_globex');
  expect(await tenantOf('elsewhere.example', null)).toBeNull();
  const wrong = `insert into tenancy.domains (host, tenant_id) values ('Data.Example', 't_globex')`;
  await expect(stack.migrator.query(wrong)).rejects.toMatchObject({ code: '23514', constraint: 'domains_host_form' });
});
