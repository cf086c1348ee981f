import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What each role of a tenant may do, over HTTP.

const ROLES = ['viewer', 'member', 'admin', 'owner'] as const;
type Role = (typeof ROLES)[number];

let stack: TestStack;
const tokens = {} as Record<Role, string>;

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  for (const role of ROLES) tokens[role] = await stack.token({ tenant: 't_acme', user: role, role });
});

afterAll(() => stack?.stop());

async function send(role: Role, method: string, path: string, body?: unknown) {
  const answer = await http(`${stack.postgrest}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tokens[role]}`,
      'content-type': 'application/json',
      prefer: 'return=representation',
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: answer.body as { code?: string; length?: number }[] & { code?: string } };
}

const file = (extra: object = {}) => ({ name: 'a.csv', content_type: 'text/csv', size: 1, ...extra });

describe('files and jobs', () => {
  test.each(ROLES)('are read by a %s', async (role) => {
    for (const path of ['/files', '/jobs', '/job_findings', '/members', '/tenant']) {
      expect((await send(role, 'GET', path)).status).toBe(200);
    }
  });

  test.each([
    ['viewer', 403],
    ['member', 201],
    ['admin', 201],
    ['owner', 201],
  ] as const)('are written by a %s: %i', async (role, status) => {
    expect((await send(role, 'POST', '/files', file())).status).toBe(status);
    const job = await send(role, 'POST', '/jobs', { type: 'csv.validate' });
    expect(job.status).toBe(status);
  });

  test('are not submitted for another tenant', async () => {
    const body = { type: 'csv.validate', tenant_id: 't_globex' };
    expect(await send('owner', 'POST', '/jobs', body)).toMatchObject({ status: 403, body: { code: '42501' } });
  });

  test('are neither cancelled nor deleted by a viewer', async () => {
    const { body } = await send('member', 'POST', '/jobs', { type: 'csv.validate' });
    const id = (body as unknown as { id: string }[])[0]?.id;
    expect(await send('viewer', 'POST', '/rpc/cancel_job', { id })).toMatchObject({
      status: 403,
      body: { code: 'role_insufficient' },
    });
    expect(await send('viewer', 'DELETE', `/jobs?id=eq.${id}`)).toMatchObject({ status: 200, body: [] });
    expect(await send('member', 'POST', '/rpc/cancel_job', { id })).toMatchObject({
      status: 200,
      body: [{ status: 'cancelled' }],
    });
    expect(await send('member', 'DELETE', `/jobs?id=eq.${id}`)).toMatchObject({ status: 200, body: [{ id }] });
  });

  test.each([
    ['/files', file({ status: 'stored' })],
    ['/files', file({ kind: 'report' })],
    ['/files', file({ created_by: 'somebody' })],
    ['/files', file({ created_at: '2000-01-01' })],
    ['/files', file({ stored_at: '2000-01-01' })],
    ['/jobs', { type: 'csv.validate', status: 'succeeded' }],
    ['/jobs', { type: 'csv.validate', result: {} }],
    ['/jobs', { type: 'csv.validate', progress: {} }],
    ['/jobs', { type: 'csv.validate', attempts: 1 }],
    ['/jobs', { type: 'csv.validate', created_at: '2000-01-01' }],
    ['/job_findings', { job_id: '00000000-0000-7000-8000-000000000000', ordinal: 1, rule: 'x', message: 'x' }],
  ])('POST %s does not let even an owner set %j', async (path, body) => {
    expect(await send('owner', 'POST', path, body)).toMatchObject({ status: 403, body: { code: '42501' } });
  });

  test.each([
    ['/files', { status: 'stored' }],
    ['/files', { size: 2 }],
    ['/files', { sha256: null }],
    ['/jobs', { status: 'succeeded' }],
    ['/jobs', { result: {} }],
    ['/jobs', { input: {} }],
    ['/job_findings', { message: 'x' }],
  ])('PATCH %s does not let even an owner set %j', async (path, body) => {
    expect(await send('owner', 'PATCH', `${path}?tenant_id=eq.t_acme`, body)).toMatchObject({
      status: 403,
      body: { code: '42501' },
    });
  });
});

describe('members', () => {
  test.each([
    ['viewer', 403],
    ['member', 403],
    ['admin', 201],
    ['owner', 201],
  ] as const)('are added by a %s: %i', async (role, status) => {
    expect((await send(role, 'POST', '/members', { user_id: `by-${role}`, role: 'viewer' })).status).toBe(status);
  });

  test('an admin makes, changes and removes members, but no owner', async () => {
    expect((await send('admin', 'POST', '/members', { user_id: 'dan', role: 'member' })).status).toBe(201);
    expect(await send('admin', 'PATCH', '/members?user_id=eq.dan', { role: 'admin' })).toMatchObject({
      status: 200,
      body: [{ role: 'admin' }],
    });
    expect(await send('admin', 'POST', '/members', { user_id: 'eve', role: 'owner' })).toMatchObject({
      status: 403,
      body: { code: '42501' },
    });
    expect(await send('admin', 'PATCH', '/members?user_id=eq.dan', { role: 'owner' })).toMatchObject({
      status: 403,
      body: { code: '42501' },
    });
    expect(await send('admin', 'PATCH', '/members?user_id=eq.owner', { role: 'viewer' })).toMatchObject({
      status: 200,
      body: [],
    });
    expect(await send('admin', 'DELETE', '/members?user_id=eq.owner')).toMatchObject({ status: 200, body: [] });
    expect(await send('admin', 'DELETE', '/members?user_id=eq.dan')).toMatchObject({
      status: 200,
      body: [{ user_id: 'dan' }],
    });
  });

  test('the last owner cannot leave or step down; one of two can', async () => {
    const refused = { status: 409, body: { code: 'owner_required' } };
    expect(await send('owner', 'PATCH', '/members?user_id=eq.owner', { role: 'admin' })).toMatchObject(refused);
    expect(await send('owner', 'DELETE', '/members?user_id=eq.owner')).toMatchObject(refused);
    expect((await send('owner', 'POST', '/members', { user_id: 'second', role: 'owner' })).status).toBe(201);
    expect(await send('owner', 'DELETE', '/members?user_id=eq.second')).toMatchObject({
      status: 200,
      body: [{ user_id: 'second' }],
    });
  });

  test('two owners who remove each other at once leave one', async () => {
    await send('owner', 'POST', '/members', { user_id: 'rival', role: 'owner' });
    const first = await stack.admin.connect();
    const second = await stack.admin.connect();
    try {
      const remove = (client: typeof first, user: string) =>
        client.query(`delete from tenancy.members where tenant_id = 't_acme' and user_id = $1`, [user]);
      await first.query('begin');
      await second.query('begin');
      await remove(first, 'rival');
      const waiting = remove(second, 'owner').then(
        () => 'removed',
        (error: Error) => error.message,
      );
      await first.query('commit');
      expect(await waiting).toContain('"code" : "owner_required"');
      await second.query('rollback');
      await second.query('begin isolation level repeatable read');
      await expect(remove(second, 'owner')).rejects.toMatchObject({ code: '25001' });
      await second.query('rollback');
    } finally {
      first.release();
      second.release();
    }
  });

  test('only an owner renames the tenant, and nobody changes what it is', async () => {
    expect(await send('admin', 'PATCH', '/tenant?id=eq.t_acme', { name: 'Taken' })).toMatchObject({
      status: 403,
      body: { code: 'role_insufficient' },
    });
    expect(await send('owner', 'PATCH', '/tenant?id=eq.t_acme', { name: 'Acme & Co' })).toMatchObject({
      status: 200,
      body: [{ name: 'Acme & Co' }],
    });
    for (const column of ['id', 'slug', 'tier', 'region', 'status']) {
      expect(await send('owner', 'PATCH', '/tenant?id=eq.t_acme', { [column]: 'free' })).toMatchObject({
        status: 403,
        body: { code: '42501' },
      });
    }
  });
});
