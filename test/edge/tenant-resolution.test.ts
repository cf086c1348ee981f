import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendTo } from './raw-http.ts';

// Which tenant a request is for: the token says so; host and X-Tenant-Id have to agree.

let stack: TestStack;
let acme: string;
let globex: string;

beforeAll(async () => {
  stack = await createTestStack({
    edge: true,
    env: { EDGE_TENANT_DOMAIN: 'rowhouse.test', EDGE_PUBLIC_URL: 'https://api.rowhouse.test' },
  });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  await stack.migrator.query("insert into tenancy.domains (host, tenant_id) values ('api.acme.test', 't_acme')");
  acme = await stack.token({ tenant: 't_acme' });
  globex = await stack.token({ tenant: 't_globex' });
});

afterAll(() => stack?.stop());

interface Ask {
  token?: string | undefined;
  tenant?: string;
  path?: string;
}

async function ask(host: string, { token, tenant, path = '/v1/files?limit=0' }: Ask) {
  const answer = await sendTo(stack.edge, {
    path,
    headers: {
      host,
      ...(token ? { authorization: `Bearer ${token}` } : {}),
      ...(tenant ? { 'x-tenant-id': tenant } : {}),
    },
  });
  const { code } = answer.status < 400 ? { code: undefined } : (JSON.parse(answer.body) as { code: string });
  return { status: answer.status, code, of: answer.headers['x-tenant-id'] };
}

const OWN_HOSTS = [
  '127.0.0.1:8080',
  '[::1]:8080',
  'localhost',
  'edge',
  'rowhouse.test',
  'api.rowhouse.test',
  'API.Rowhouse.test:443',
];

describe("a request by the deployment's own host", () => {
  test.each(OWN_HOSTS)('is for the tenant of the token: %s', async (host) => {
    expect(await ask(host, { token: acme })).toEqual({ status: 200, code: undefined, of: 't_acme' });
    expect(await ask(host, { token: globex })).toEqual({ status: 200, code: undefined, of: 't_globex' });
  });
});

describe("a request by a tenant's host", () => {
  // Slugs are the ids without their underscore: t-acme.
  test.each(['t-acme.rowhouse.test', 'T-ACME.rowhouse.test.', 't-acme.rowhouse.test:8443', 'api.acme.test'])(
    "is for that tenant, and nobody else's: %s",
    async (host) => {
      expect(await ask(host, { token: acme })).toEqual({ status: 200, code: undefined, of: 't_acme' });
      expect(await ask(host, { token: globex })).toMatchObject({ status: 403, code: 'tenant_mismatch' });
      const operator = await stack.operatorToken();
      expect(await ask(host, { token: operator, path: '/admin/v1/tenants' })).toMatchObject({
        code: 'tenant_mismatch',
      });
    },
  );

  test.each(['t-acme.rowhouse.test:80:80', 't-acme.rowhouse.test..', 'api.acme.test..', 't-acme.rowhouse.test:x'])(
    'is refused where it is spelled so that it could be taken for another: %s',
    async (host) => {
      for (const token of [acme, globex]) {
        expect(await ask(host, { token })).toEqual({ status: 400, code: 'request_invalid', of: undefined });
      }
    },
  );

  test("is unknown under the tenants' domain where there is no such tenant", async () => {
    expect(await ask('t-nobody.rowhouse.test', { token: acme })).toMatchObject({ status: 404, code: 'tenant_unknown' });
    expect(await ask('x.t-acme.rowhouse.test', { token: acme })).toMatchObject({ status: 404, code: 'tenant_unknown' });
  });

  test('tells nobody without a token which tenants there are', async () => {
    for (const host of ['t-acme.rowhouse.test', 't-nobody.rowhouse.test']) {
      expect(await ask(host, {})).toEqual({ status: 401, code: 'token_required', of: undefined });
      expect(await ask(host, { token: 'a.b.c' })).toEqual({ status: 401, code: 'token_invalid', of: undefined });
    }
  });

  test('follows the directory', async () => {
    const host = 'shop.acme.test';
    expect((await ask(host, { token: globex })).status).toBe(200);
    await stack.migrator.query("insert into tenancy.domains (host, tenant_id) values ($1, 't_acme')", [host]);
    await expect.poll(() => ask(host, { token: globex })).toMatchObject({ status: 403, code: 'tenant_mismatch' });
    await stack.migrator.query('delete from tenancy.domains where host = $1', [host]);
    await expect.poll(async () => (await ask(host, { token: globex })).status).toBe(200);
  });
});

describe('X-Tenant-Id', () => {
  test("agrees with the token's tenant, or is refused, cached or not", async () => {
    for (let time = 0; time < 2; time += 1) {
      expect((await ask('edge', { token: acme, tenant: 't_acme' })).status).toBe(200);
      expect(await ask('edge', { token: acme, tenant: 't_globex' })).toMatchObject({
        status: 403,
        code: 'tenant_mismatch',
      });
      expect(await ask('edge', { token: acme, tenant: 't_nobody' })).toMatchObject({
        status: 403,
        code: 'tenant_mismatch',
      });
    }
  });
});

test('the storage keeps to the same rules', async () => {
  const path = '/storage/v1/files/00000000-0000-0000-0000-000000000000';
  const fine = { status: 404, code: 'file_not_found' };
  const mismatch = { status: 403, code: 'tenant_mismatch' };
  expect(await ask('edge', { token: acme, path, tenant: 't_acme' })).toMatchObject(fine);
  expect(await ask('api.acme.test', { token: acme, path })).toMatchObject(fine);
  expect(await ask('edge', { token: acme, path, tenant: 't_globex' })).toMatchObject(mismatch);
  expect(await ask('api.acme.test', { token: globex, path })).toMatchObject(mismatch);
  expect(await ask('t-nobody.rowhouse.test', { token: acme, path })).toMatchObject({
    status: 404,
    code: 'tenant_unknown',
  });
});

test("an operator's token needs no tenant where there is none, and is told where there is", async () => {
  const operator = await stack.operatorToken();
  expect(await ask('edge', { token: operator, path: '/admin/v1/tenants' })).toMatchObject({
    status: 200,
    of: undefined,
  });
  expect(await ask('edge', { token: operator })).toMatchObject({ status: 400, code: 'tenant_required' });
});

test('a suspended tenant is refused on the next request, and served on the one after it is resumed', async () => {
  expect((await ask('edge', { token: globex })).status).toBe(200);
  for (let time = 0; time < 3; time += 1) {
    await stack.migrator.query("update tenancy.tenants set status = 'suspended' where id = 't_globex'");
    expect(await ask('edge', { token: globex })).toMatchObject({ status: 403, code: 'tenant_suspended' });
    await stack.migrator.query("update tenancy.tenants set status = 'active' where id = 't_globex'");
    expect((await ask('edge', { token: globex })).status).toBe(200);
  }
});
