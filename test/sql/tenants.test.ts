import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isTenantId } from '../../functions/tenant.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
let operator: string;

beforeAll(async () => {
  stack = await createTestStack();
  operator = await stack.operatorToken();
});

afterAll(() => stack?.stop());

const call = (name: string, body: unknown, token = operator) =>
  http(`${stack.postgrest}/rpc/${name}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-profile': 'admin' },
    body: JSON.stringify(body),
  });

const tenant = (n: number | string) => ({ id: `t_n${n}`, slug: `n${n}`, name: `Tenant ${n}`, owner: 'owner' });

test('of twenty creations with the same id one wins and the others get 409', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => call('create_tenant', { ...tenant('same'), slug: `slug-${n}` })),
  );
  expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array(19).fill(409)]);
  const lost = answers.find((answer) => answer.status === 409);
  expect(lost?.body).toMatchObject({ code: 'tenant_exists', message: 'A tenant with this id or slug exists' });
});

test('of twenty creations with the same slug one wins and the others get 409', async () => {
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => call('create_tenant', { ...tenant(`slug${n}`), slug: 'wanted' })),
  );
  expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array(19).fill(409)]);
});

test('200 creations in parallel leave 200 whole tenants', async () => {
  const before = (await stack.admin.query('select count(*)::int as n from tenancy.tenants')).rows[0].n;
  const answers = await Promise.all(Array.from({ length: 200 }, (_, n) => call('create_tenant', tenant(n))));
  expect(answers.filter((answer) => answer.status !== 200)).toEqual([]);
  const { rows } = await stack.admin.query(`
    select count(*)::int as tenants, count(*) filter (where exists (
      select from tenancy.members where tenant_id = t.id and user_id = 'owner' and role = 'owner'))::int as whole
    from tenancy.tenants t where id ~ '^t_n[0-9]+$'`);
  expect(rows).toEqual([{ tenants: 200, whole: 200 }]);
  expect((await stack.admin.query('select count(*)::int as n from tenancy.tenants')).rows[0].n).toBe(before + 200);
});

test.each([
  ['an id of the wrong form', { id: 'acme' }],
  ['a slug of the wrong form', { slug: 'Not A Slug' }],
  ['no name', { name: '' }],
  ['a tier that does not exist', { tier: 'platinum' }],
  ['no owner', { owner: null }],
])('refuses a tenant with %s and leaves nothing behind', async (_name, wrong) => {
  const answer = await call('create_tenant', { ...tenant('bad'), ...wrong });
  expect([answer.status, (answer.body as { code: string }).code]).toEqual([422, 'tenant_invalid']);
  expect((await stack.admin.query(`select from tenancy.tenants where id = 't_nbad'`)).rowCount).toBe(0);
});

test('the directory is the operator’s: a tenant’s owner cannot list, create or suspend', async () => {
  await stack.createTenant('t_acme');
  const owner = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
  const list = (token: string) =>
    http(`${stack.postgrest}/tenants?select=id&id=eq.t_acme`, {
      headers: { authorization: `Bearer ${token}`, 'accept-profile': 'admin' },
    });
  expect(await list(operator)).toMatchObject({ status: 200, body: [{ id: 't_acme' }] });
  expect(await list(owner)).toMatchObject({ status: 403, body: { code: '42501' } });
  expect(await call('suspend_tenant', { id: 't_acme' }, owner)).toMatchObject({ status: 403, body: { code: '42501' } });
  expect(await call('create_tenant', tenant('sneaky'), owner)).toMatchObject({ status: 403, body: { code: '42501' } });
});

test('an operator sees metadata of tenants and nothing that they store', async () => {
  for (const path of ['files', 'jobs', 'job_findings', 'members', 'tenant']) {
    const answer = await http(`${stack.postgrest}/${path}`, { headers: { authorization: `Bearer ${operator}` } });
    expect([path, answer.status, (answer.body as { code: string }).code]).toEqual([path, 403, '42501']);
  }
});

test('the id of a deleted tenant is not given again: what a deletion left behind would be the new tenant’s', async () => {
  expect((await call('create_tenant', tenant('gone'))).status).toBe(200);
  await stack.migrator.query(`delete from tenancy.tenants where id = 't_ngone'`);
  expect(await call('create_tenant', tenant('gone'))).toMatchObject({ status: 409, body: { code: 'tenant_exists' } });
});

test('suspending a tenant that does not exist is a 404', async () => {
  expect(await call('suspend_tenant', { id: 't_nobody' })).toMatchObject({
    status: 404,
    body: { code: 'tenant_unknown' },
  });
});

test('database and TypeScript accept exactly the same tenant ids', async () => {
  const alphabet = fc.constantFrom(...'t_a9zT-. \u0000é\n'.split(''));
  const candidate = fc.oneof(
    fc.string({ unit: alphabet, maxLength: 6 }),
    fc.string({ unit: fc.constantFrom(...'abz019_'), maxLength: 52 }).map((rest) => `t_${rest}`),
    fc.string({ unit: 'grapheme', maxLength: 10 }).map((rest) => `t_${rest}`),
  );
  // PostgreSQL has no text with NUL in it at all.
  const samples = [...new Set(fc.sample(candidate, 3000))].filter((sample) => !sample.includes('\u0000'));
  const { rows } = await stack.admin.query(
    `select id, pg_input_is_valid(id, 'tenancy.tenant_id') as accepted from unnest($1::text[]) as id`,
    [samples],
  );
  expect(rows.filter((row) => row.accepted).length).toBeGreaterThan(100);
  expect(rows.filter((row) => !row.accepted).length).toBeGreaterThan(100);
  expect(rows.filter((row) => row.accepted !== isTenantId(row.id))).toEqual([]);
});
