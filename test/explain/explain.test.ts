import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Explanation, explainRequest } from '../../functions/explain/explain.ts';
import { parseRequest } from '../../functions/explain/request.ts';
import type { TenantRole } from '../support/identities.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
const files: Record<string, string> = {};

beforeAll(async () => {
  stack = await createTestStack({ postgrest: false });
  for (const tenant of ['t_acme', 't_globex']) {
    await stack.createTenant(tenant);
    const { rows } = await stack.admin.query(
      `insert into app.files (tenant_id, name, size, created_by) values ($1, 'a.csv', 1, 'owner') returning id`,
      [tenant],
    );
    files[tenant] = rows[0].id;
  }
});

afterAll(() => stack?.stop());

const explain = (token: string, method: string, path: string, body?: object) =>
  explainRequest(stack.database.authenticator, token, parseRequest(method, path, body && JSON.stringify(body)));

async function as(role: TenantRole, method: string, path: string, body?: object): Promise<Explanation> {
  return explain(await stack.token({ tenant: 't_acme', role }), method, path, body);
}

const verdict = ({ allowed, summary, next }: Explanation) => ({ allowed, summary, next });

/** What really happens, to hold the explanation against. */
async function reality(role: TenantRole, sql: string, values: unknown[]): Promise<string | number | null> {
  const client = await stack.admin.connect();
  try {
    await client.query('begin');
    await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme', role })]);
    await client.query('set local role tenant_user');
    return (await client.query(sql, values)).rowCount;
  } catch (error) {
    return (error as { code: string }).code;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

test('what is left of the rate limits is told, of the own tenant', async () => {
  await stack.admin.query(
    `insert into metering.rate_buckets values ('t_acme', 'write', -1e6, now()), ('t_globex', 'read', 3, now())`,
  );
  const { limits, left } = await as('viewer', 'GET', '/v1/files');
  expect(limits?.rates).toMatchObject({ read: { rate: 500, burst: 1000 }, write: { rate: 100, burst: 200 } });
  expect(left).toEqual({ read: 1000, write: expect.any(Number), expensive: 100 });
  expect(left?.write).toBeLessThan(-900_000);
  await stack.admin.query('delete from metering.rate_buckets');
});

describe('a row', () => {
  test('of the own tenant is visible, and each policy passes', async () => {
    const explained = await as('viewer', 'GET', `/v1/files?id=eq.${files.t_acme}`);
    expect(verdict(explained)).toEqual({
      allowed: true,
      summary: 'the row is in your tenant and visible',
      next: 'if the answer is empty all the same, one of its other conditions is why',
    });
    expect(explained.policies).toMatchObject([
      {
        policy: 'A member reads the rows of their tenant',
        kind: 'permissive',
        using: expect.stringContaining('(tenant_id)::text = request.tenant_id()'),
        passes: true,
      },
    ]);
    expect(explained.context).toEqual({
      tenant_id: 't_acme',
      subject: 'viewer',
      role: 'tenant_user',
      tenant_role: 'viewer',
      membership: 'viewer',
    });
  });

  test.each(['GET', 'PATCH', 'DELETE'])(
    'of another tenant answers %s byte for byte as one that nobody has',
    async (method) => {
      const token = await stack.token({ tenant: 't_acme' });
      const nobodys = '00000000-0000-7000-8000-000000000000';
      const body = method === 'PATCH' ? { name: 'mine' } : undefined;
      const answer = async (id: string, more = '') =>
        JSON.stringify(await explain(token, method, `/v1/files?id=eq.${id}${more}`, body)).replaceAll(id, 'ID');
      expect(await answer(files.t_acme ?? '')).toContain('"found":true');
      const another = await answer(files.t_globex ?? '');
      expect(another).toBe(await answer(nobodys));
      expect(another).toContain('no such row in your tenant');
      expect(await answer(files.t_globex ?? '', '&tenant_id=eq.t_globex')).toBe(
        await answer(nobodys, '&tenant_id=eq.t_globex'),
      );
    },
  );

  test('is missing where the key is not of its type, too', async () => {
    expect(verdict(await as('viewer', 'GET', '/v1/files?id=eq.nonsense'))).toMatchObject({
      allowed: false,
      summary: 'no such row in your tenant',
    });
  });

  test('need not be named: an empty list is explained by an empty tenant', async () => {
    expect(verdict(await as('viewer', 'GET', '/v1/jobs?order=id'))).toEqual({
      allowed: true,
      summary: 'your tenant has no row here',
      next: 'the answer is empty until there are rows',
    });
    expect(verdict(await as('viewer', 'GET', '/v1/files'))).toMatchObject({ summary: 'your tenant has rows here' });
  });
});

describe('a write', () => {
  const insert = 'insert into v1.files (name, content_type, size) values ($1, $2, 1)';

  test('that is below the role names the policy and the role to ask for, and is refused indeed', async () => {
    const body = { name: 'b.csv', content_type: 'text/csv', size: 1 };
    expect(verdict(await as('viewer', 'POST', '/v1/files', body))).toEqual({
      allowed: false,
      summary: 'the policy "A writer adds rows to their tenant" does not pass',
      next: 'ask an admin for the role member',
    });
    expect(await reality('viewer', insert, ['b.csv', 'text/csv'])).toBe('42501');
    expect((await as('member', 'POST', '/v1/files', body)).allowed).toBe(true);
    expect(await reality('member', insert, ['b.csv', 'text/csv'])).toBe(1);
  });

  test('with a token weaker than the membership says to get a better token', async () => {
    const token = await stack.token({ tenant: 't_acme', user: 'owner', role: 'viewer' });
    expect(verdict(await explain(token, 'DELETE', `/v1/files?id=eq.${files.t_acme}`))).toEqual({
      allowed: false,
      summary: 'the policy "A writer deletes rows of their tenant" does not pass',
      next: 'the token carries the role viewer and the membership is owner: get a token with that role',
    });
  });

  test('of a column without a grant names the column', async () => {
    const explained = await as('owner', 'PATCH', `/v1/files?id=eq.${files.t_acme}`, {
      name: 'c.csv',
      status: 'stored',
    });
    expect(verdict(explained)).toEqual({
      allowed: false,
      summary: 'the role tenant_user may not set these columns: status',
      next: 'leave them out: the server sets them, or a function of the API does',
    });
    expect(explained.grants[0]).toMatchObject({ on: 'v1.files', columns: ['name'], refused_columns: ['status'] });
  });

  test('into another tenant fails the check, and says to leave tenant_id out', async () => {
    const body = { tenant_id: 't_globex', name: 'd.csv', content_type: 'text/csv', size: 1 };
    expect(verdict(await as('owner', 'POST', '/v1/files', body))).toEqual({
      allowed: false,
      summary: 'the policy "A writer adds rows to their tenant" does not pass',
      next: 'leave tenant_id out: it is filled in with your tenant',
    });
  });

  test('is held against what the policy asks of the row, before and after', async () => {
    const change = 'update v1.members set role = $2 where user_id = $1';
    for (const [user, role, clause] of [
      ['owner', 'viewer', 'using_passes'],
      ['member', 'owner', 'check_passes'],
    ] as const) {
      const explained = await as('admin', 'PATCH', `/v1/members?user_id=eq.${user}`, { role });
      expect(verdict(explained)).toEqual({
        allowed: false,
        summary: 'the policy "A writer changes rows of their tenant" does not pass',
        next: 'ask an owner for the role owner',
      });
      expect(explained.policies.find(({ policy }) => policy?.startsWith('A writer'))?.[clause]).toBe(false);
    }
    expect(await reality('admin', change, ['owner', 'viewer'])).toBe(0);
    expect(await reality('admin', change, ['member', 'owner'])).toBe('42501');
    expect((await as('admin', 'PATCH', '/v1/members?user_id=eq.member', { role: 'viewer' })).allowed).toBe(true);
    expect(await reality('admin', change, ['member', 'viewer'])).toBe(1);
  });

  test('that no client may do says so', async () => {
    expect(verdict(await as('owner', 'DELETE', '/v1/job_findings'))).toEqual({
      allowed: false,
      summary: 'the role tenant_user has no grant to delete in v1.job_findings',
      next: 'no member of any tenant may: see which functions the API has for it',
    });
  });

  test('for which a table has no policy says so', async () => {
    const policy = '"A writer changes rows of their tenant" on app.files';
    const { rows } = await stack.admin.query(
      `select pg_get_expr(polqual, polrelid) as condition from pg_policy where polrelid = 'app.files'::regclass and polcmd = 'w'`,
    );
    await stack.migrator.query(`drop policy ${policy}`);
    expect(verdict(await as('owner', 'PATCH', `/v1/files?id=eq.${files.t_acme}`, { name: 'f.csv' }))).toMatchObject({
      allowed: false,
      summary: 'no policy lets the role tenant_user update here',
    });
    expect(await reality('owner', 'update v1.files set name = $1', ['f.csv'])).toBe(0);
    await stack.migrator.query(`create policy ${policy} for update to tenant_user using (${rows[0].condition})`);
    expect((await as('owner', 'PATCH', `/v1/files?id=eq.${files.t_acme}`, { name: 'f.csv' })).allowed).toBe(true);
  });

  test('depends on the row where a policy looks at it and none is named', async () => {
    expect((await as('admin', 'DELETE', '/v1/members')).allowed).toBe(null);
    expect((await as('viewer', 'DELETE', '/v1/members')).allowed).toBe(false);
  });

  test('that a function of the API does is left to the function, once it is granted', async () => {
    await stack.migrator.query(`
      create function tenancy.rename_all() returns trigger language plpgsql security definer set search_path = '' as 'begin return new; end';
      create view v1.names with (security_invoker = true) as select name, status from v1.files;
      grant select, update (name) on v1.names to tenant_user;
      create trigger rename_all instead of update on v1.names for each row execute function tenancy.rename_all()`);
    expect(verdict(await as('owner', 'PATCH', '/v1/names', { name: 'g.csv' }))).toEqual({
      allowed: null,
      summary: 'a function of the API does this write, and what it checks itself was not run',
      next: 'send it: an error names what was refused',
    });
    expect((await as('owner', 'PATCH', '/v1/names', { status: 'stored' })).allowed).toBe(false);
    expect((await as('owner', 'PATCH', '/v1/names?name=eq.nobody', { name: 'h.csv' })).summary).toBe(
      'no such row in your tenant',
    );
  });

  test('is explained, not done', async () => {
    const count = async () => (await stack.admin.query('select count(*)::int from app.files')).rows[0].count;
    const before = await count();
    await as('owner', 'DELETE', `/v1/files?id=eq.${files.t_acme}`);
    await as('owner', 'POST', '/v1/files', { name: 'e.csv', content_type: 'text/csv', size: 1 });
    expect(await count()).toBe(before);
  });
});

describe('names', () => {
  test.each([
    ['GET', '/v1/nope', 'the API has no relation v1.nope'],
    ['GET', '/v1/files?nope=eq.1', 'v1.files has no column nope'],
    ['GET', '/admin/v1/tenants', 'the role tenant_user does not reach the admin API'],
    ['POST', '/v1/rpc/nope', 'the API has no function v1.nope'],
    ['POST', '/admin/v1/rpc/suspend_tenant', 'the role tenant_user may not call admin.suspend_tenant'],
  ])('%s %s: %s', async (method, path, summary) => {
    expect(verdict(await as('owner', method, path))).toMatchObject({ allowed: false, summary });
  });

  test('of a function that may be called are allowed', async () => {
    expect(await as('viewer', 'POST', '/v1/rpc/cancel_job?id=x')).toMatchObject({
      allowed: true,
      summary: 'your role may call it; what it checks itself was not run',
    });
  });

  test('of what an operator reads are explained to an operator', async () => {
    const token = await stack.operatorToken();
    expect(verdict(await explain(token, 'GET', '/admin/v1/tenants?id=eq.t_acme'))).toMatchObject({
      allowed: true,
      summary: 'the row is in the directory and visible',
    });
    expect(verdict(await explain(token, 'GET', '/v1/jobs'))).toMatchObject({
      allowed: false,
      summary: 'the role operator does not reach the v1 API',
    });
  });

  test('behind the API appear nowhere but in the conditions of policies', async () => {
    for (const [method, path] of [
      ['GET', '/v1/files'],
      ['PATCH', '/v1/members'],
      ['POST', '/v1/files'],
    ] as const) {
      const { policies, ...rest } = await as('owner', method, path, {});
      expect(policies.length).toBeGreaterThan(0);
      expect(JSON.stringify(rest)).not.toMatch(/\b(app|tenancy|ledger|auth|request)\./);
    }
  });
});
