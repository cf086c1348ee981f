import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Access } from '../../functions/explain/explain.ts';
import { packageRoot } from '../../functions/paths.ts';
import { http } from '../support/http.ts';
import type { TenantRole } from '../support/identities.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

let stack: TestStack;
const jobs: Record<string, string> = {};

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) {
    await stack.createTenant(tenant);
    await stack.migrator.query(
      `insert into tenancy.job_types (type, description) values ('csv.validate', '') on conflict do nothing`,
    );
    const { rows } = await stack.admin.query(
      `insert into app.jobs (tenant_id, type, created_by) values ($1, 'csv.validate', 'owner') returning id`,
      [tenant],
    );
    jobs[tenant] = rows[0].id;
  }
  // PostgREST learns of the function when it has reloaded its schema cache.
  const token = await stack.token({ tenant: 't_acme' });
  await vi.waitUntil(async () => (await call(token, { method: 'GET', relation: 'jobs' })).status === 200, 15_000);
});

afterAll(() => stack?.stop());

const call = (token: string, body: object) =>
  http<Access & { gate: { passed: boolean } }>(`${stack.postgrest}/rpc/explain_access`, { token, body });

const ask = async (role: TenantRole, body: object) => call(await stack.token({ tenant: 't_acme', role }), body);

describe('v1.explain_access', () => {
  test.each(['admin', 'owner'] as const)('tells an %s what decided', async (role) => {
    const { status, body } = await ask(role, {
      method: 'GET',
      relation: 'jobs',
      row_key: { id: jobs.t_acme },
    });
    expect([status, body.gate.passed, body.allowed, body.summary]).toEqual([
      200,
      true,
      true,
      'the row is in your tenant and visible',
    ]);
    expect(body.context).toMatchObject({ tenant_id: 't_acme', subject: role, tenant_role: role });
  });

  test('tells the limits of the tenant', async () => {
    await stack.migrator.query(`insert into tenancy.tenant_settings (tenant_id, read_rate) values ('t_globex', 3)`);
    const { body } = await ask('admin', { method: 'GET', relation: 'jobs' });
    expect(body.limits).toEqual({
      rates: {
        read: { rate: 500, burst: 1000 },
        write: { rate: 100, burst: 200 },
        expensive: { rate: 50, burst: 100 },
      },
      shadow: false,
      concurrency: 4,
      statement_timeout_ms: 10_000,
    });
  });

  test.each(['member', 'viewer'] as const)('refuses a %s', async (role) => {
    expect(await ask(role, { method: 'GET', relation: 'jobs' })).toMatchObject({
      status: 403,
      body: {
        code: 'role_insufficient',
        details: 'only an admin or owner of the tenant asks why',
        hint: 'ask an admin of your tenant to look',
      },
    });
  });

  test('answers the same bytes for a row of another tenant as for none', async () => {
    const token = await stack.token({ tenant: 't_acme' });
    const bytes = async (id: string, method: string) => {
      const response = await fetch(`${stack.postgrest}/rpc/explain_access`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ method, relation: 'v1.jobs', row_key: { id, tenant_id: 't_globex' } }),
      });
      return `${response.status} ${(await response.text()).replaceAll(id, 'ID')}`;
    };
    for (const method of ['GET', 'DELETE']) {
      const another = await bytes(jobs.t_globex ?? '', method);
      expect(another).toBe(await bytes('00000000-0000-7000-8000-000000000000', method));
      expect(another).toContain('no such row in your tenant');
    }
  });

  test('works with GET, in a read-only transaction', async () => {
    const token = await stack.token({ tenant: 't_acme' });
    const query = new URLSearchParams({ method: 'POST', relation: 'jobs', body: '{"status": "failed"}' });
    const { status, body } = await http<Access>(`${stack.postgrest}/rpc/explain_access?${query}`, { token });
    expect([status, body.allowed, body.summary]).toEqual([
      200,
      false,
      'the role tenant_user may not set these columns: status',
    ]);
  });

  test.each([
    [{ method: 'FLY', relation: 'jobs' }, 'the method is not GET, HEAD, POST, PUT, PATCH or DELETE'],
    [{ method: 'GET', relation: 'jobs; drop table app.jobs' }, 'the relation is not one name, such as jobs'],
    [{ method: 'GET', relation: 'app.jobs' }, 'the relation is not one name, such as jobs'],
    [{ method: 'GET', relation: 'admin.tenants' }, 'the role tenant_user does not reach the admin API'],
    [{ method: 'GET', relation: 'jobs', row_key: ['x'] }, 'row key and body are JSON objects: columns and values'],
    [{ method: 'GET', relation: 'jobs', row_key: { 'id") or true --': 1 } }, 'v1.jobs has no column id") or true --'],
  ])('answers %j in words', async (asked, summary) => {
    expect(await ask('owner', asked)).toMatchObject({ status: 200, body: { allowed: false, summary } });
  });
});

describe('rowhouse explain', () => {
  function rowhouse(args: string[], input = ''): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [join(packageRoot, 'bin/rowhouse.js'), 'explain', ...args], {
      env: { ...process.env, DATABASE_URL: stack.database.authenticator },
    });
    const printed = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (printed[name] += chunk));
    child.stdin.end(input);
    return new Promise((resolve) => child.on('close', (status) => resolve({ status, ...printed })));
  }

  test('says in plain words what decided, with the token from standard input', async () => {
    const token = await stack.token({ tenant: 't_acme', role: 'viewer' });
    const { status, stdout, stderr } = await rowhouse(
      ['--token', '-', 'DELETE', `/v1/jobs?id=eq.${jobs.t_acme}&status=in.(queued)`],
      `${token}\n`,
    );
    expect([status, stderr]).toEqual([0, '']);
    const lines = stdout.split('\n');
    expect(lines.slice(0, 4)).toEqual([
      'DELETE v1.jobs: denied',
      '  the policy "A writer deletes rows of their tenant" does not pass',
      '  → ask an admin for the role member',
      '  not looked at: status=in.(queued)',
    ]);
    expect(lines).toContain('  effective role: viewer (membership viewer, token viewer)');
    expect(lines).toContain('  ✗ A writer deletes rows of their tenant (permissive, delete)');
    expect(stdout).not.toContain(token.split('.')[2]);
  });

  test('gives the same as JSON', async () => {
    const token = await stack.token({ tenant: 't_acme' });
    const { status, stdout } = await rowhouse([
      '--token',
      token,
      'POST',
      '/v1/jobs',
      '--body',
      '{"type":"x"}',
      '--json',
    ]);
    expect([status, JSON.parse(stdout)]).toMatchObject([0, { allowed: true, summary: 'grants and policies allow it' }]);
  });

  test.each([
    [['FLY', '/v1/jobs'], 'FLY is not one of GET, HEAD, POST, PUT, PATCH, DELETE'],
    [['GET', '/storage/v1/files/x'], '/storage/v1/files/x is not a path of the API'],
    [
      ['POST', '/v1/jobs', '--body', '[]'],
      '--body is one JSON object: of several rows, explain the one that was refused',
    ],
  ])('refuses %j', async (args, message) => {
    const { status, stdout, stderr } = await rowhouse(['--token', 'x', ...args]);
    expect([status, stdout, stderr.split('\n')[0]]).toEqual([2, '', `error usage_invalid: ${message}`]);
  });
});
