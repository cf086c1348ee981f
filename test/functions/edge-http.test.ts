import { readdir } from 'node:fs/promises';
import { request as send } from 'node:http';
import { join } from 'node:path';
import { PostgrestClient } from '@supabase/postgrest-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// The edge in front of the real PostgREST.

let stack: TestStack;
let owner: string;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  owner = await stack.token({ tenant: 't_acme' });
});

afterAll(() => stack?.stop());

const file = { name: 'people.csv', content_type: 'text/csv', size: 14 };

function through(path: string, options: Parameters<typeof http>[1] = {}) {
  return http<Record<string, unknown>>(`${stack.edge}${path}`, { token: owner, ...options });
}

/** A request with the headers exactly as they are given, repeated ones too. */
function sendHeaders(path: string, headers: [string, string][]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const request = send(`${stack.edge}${path}`, { headers: [...headers, ['Host', 'edge']].flat() }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject).end();
  });
}

describe('a call through the edge', () => {
  test('answers as PostgREST does', async () => {
    const created = await through('/v1/files', { body: file, headers: { prefer: 'return=representation' } });
    expect(created.status).toBe(201);
    const query = '/files?select=name,size&or=(name.eq.people.csv,name.eq."a%20%26%20b")&order=id&limit=1';
    const headers = { prefer: 'count=exact' };
    const direct = await http(`${stack.postgrest}${query}`, { token: owner, headers });
    const edge = await through(`/v1${query}`, { headers });
    expect(edge.body).toEqual([{ name: 'people.csv', size: 14 }]);
    expect([edge.status, edge.body]).toEqual([direct.status, direct.body]);
    for (const name of ['content-type', 'content-range', 'content-profile']) {
      expect(edge.headers.get(name)).toBe(direct.headers.get(name));
    }
  });

  test('tells where a row is by the path of the edge', async () => {
    const created = await through('/v1/files', { body: file, headers: { prefer: 'return=headers-only' } });
    const location = created.headers.get('location') ?? '';
    expect(location).toMatch(/^\/v1\/files\?/);
    expect(await through(location)).toMatchObject({ status: 200, body: [file] });
  });

  test('reaches no schema but its own', async () => {
    for (const profile of ['admin', 'app', 'v1']) {
      const headers = { 'accept-profile': profile, 'content-profile': profile };
      expect((await through('/v1/files?select=name&limit=0', { headers })).status).toBe(200);
      expect((await through('/v1/tenants', { headers })).status).toBe(404);
    }
    const operator = await stack.operatorToken();
    expect((await through('/admin/v1/tenants?select=id', { token: operator })).body).toEqual([{ id: 't_acme' }]);
    expect(await through('/admin/v1/tenants', {})).toMatchObject({ status: 403, body: { code: 'permission_denied' } });
    expect((await through('/admin/v1/files', { token: operator })).status).toBe(404);
  });

  test('carries its request id and trace', async () => {
    expect((await through('/v1/files', { headers: { 'x-request-id': 'a-b_c.1' } })).headers.get('x-request-id')).toBe(
      'a-b_c.1',
    );
    const replaced = (await through('/v1/files', { headers: { 'x-request-id': 'no spaces' } })).headers.get(
      'x-request-id',
    );
    expect(replaced).toMatch(/^[0-9a-f-]{36}$/);
    const refused = await through('/nowhere', { headers: { 'x-request-id': 'lost' } });
    expect(refused.headers.get('x-request-id')).toBe('lost');
  });

  test('is refused with two tokens', async () => {
    const authorization: [string, string] = ['Authorization', `Bearer ${owner}`];
    expect(await sendHeaders('/v1/files', [authorization])).toBe(200);
    expect(await sendHeaders('/v1/files', [authorization, authorization])).toBe(400);
    expect(await sendHeaders('/storage/v1/files/x', [authorization, authorization])).toBe(400);
  });
});

describe('an error', () => {
  async function problem(path: string, options: Parameters<typeof http>[1] = {}) {
    const { status, headers, body } = await through(path, options);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ status, instance: path.split('?')[0] });
    expect(Object.keys(body).sort()).toEqual(
      ['code', 'detail', 'details', 'hint', 'instance', 'message', 'status', 'title', 'type'].sort(),
    );
    return [status, body.code];
  }

  test('is a problem document, whoever raised it', async () => {
    const expired = await stack.token({ tenant: 't_acme', ttl: '1 second' });
    await expect
      .poll(async () => (await through('/v1/files', { token: expired })).status, { timeout: 40_000 })
      .toBe(401);
    expect(await problem('/v1/files', { token: expired })).toEqual([401, 'token_expired']);
    expect(await problem('/v1/files', { token: `${owner.slice(0, -4)}AAAA` })).toEqual([401, 'token_invalid']);
    expect(await problem('/v1/files', { token: await stack.token({ tenant: 't_nobody' }) })).toEqual([
      404,
      'tenant_unknown',
    ]);
    expect(await problem('/v1/files', { headers: { 'x-tenant-id': 't_globex' } })).toEqual([403, 'tenant_mismatch']);
    expect(await problem('/v1/files?nme=eq.1')).toEqual([400, 'request_invalid']);
    expect(await problem('/v1/files?id=eq.x')).toEqual([400, 'request_invalid']);
    expect(await problem('/nowhere')).toEqual([404, 'not_found']);
    expect(await problem('/storage/v1/files/x')).toEqual([400, 'request_invalid']);
    const anonymous = await http(`${stack.edge}/v1/files`);
    expect([anonymous.status, anonymous.body]).toMatchObject([401, { code: 'token_required' }]);
  });

  test('tells nothing of the row behind a broken rule', async () => {
    const long = 'x'.repeat(256);
    const { status, body } = await through('/v1/files', { body: { ...file, name: long } });
    expect([status, body.code]).toEqual([400, 'request_invalid']);
    expect(JSON.stringify(body)).not.toMatch(/files_name|xxx|t_acme/);
  });

  test('is understood by postgrest-js', async () => {
    const client = new PostgrestClient(`${stack.edge}/v1`, { headers: { authorization: `Bearer ${owner}` } });
    expect((await client.from('files').select('name').limit(1)).error).toBeNull();
    const missing = await client.from('files').select('name').eq('name', 'none').single();
    expect([missing.status, missing.error?.code]).toEqual([406, 'PGRST116']);
    const refused = await client.from('files').insert({ ...file, status: 'stored' });
    expect([refused.status, refused.error?.code]).toEqual([403, 'permission_denied']);
  });
});

test('answers 503 while PostgREST is away', async () => {
  expect((await http(`${stack.edge}/readyz`)).status).toBe(200);
  process.kill(stack.pid('postgrest'), 'SIGKILL');
  await expect.poll(async () => (await http(`${stack.edge}/readyz`)).status).toBe(503);
  // What is cached is answered still.
  const away = await through('/v1/files?select=id&limit=7');
  expect([away.status, away.body.code, away.headers.get('retry-after')]).toEqual([503, 'upstream_unavailable', '1']);
  expect((await http(`${stack.edge}/healthz`)).status).toBe(200);
  await stack.restart('postgrest');
  expect((await through('/v1/files')).status).toBe(200);
});

test('finishes the upload in hand when it is told to end, and takes nothing new', async () => {
  const { body } = await through('/storage/v1/uploads', { body: file });
  const { url, headers } = body.upload as { url: string; headers: Record<string, string> };
  const says = (message: string) => stack.lines('edge').some((line) => line.includes(`"msg":"${message}"`));
  const status = new Promise<number | undefined>((resolve, reject) => {
    const upload = send(url, { method: 'PUT', headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    upload.on('error', reject).write('id,name\n');
    (async () => {
      const staged = () => readdir(join(stack.storageDirectory, '.staging')).catch(() => []);
      await expect.poll(staged).toHaveLength(1);
      process.kill(stack.pid('edge'), 'SIGTERM');
      await expect.poll(() => says('edge stopping')).toBe(true);
      await expect.poll(() => fetch(`${stack.edge}/healthz`).then(String, () => 'refused')).toBe('refused');
      upload.end('1,Ada\n');
    })().catch(reject);
  });
  expect(await status).toBe(201);
  await expect.poll(() => says('edge stopped')).toBe(true);
});
