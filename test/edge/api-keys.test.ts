import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asTenant, createPool, type Pool } from '../../functions/database.ts';
import { until } from '../../functions/stack/until.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

interface MadeKey {
  id: string;
  key: string;
  scopes: string[];
  tenant_role: string;
}

let stack: TestStack;
let edgePool: Pool;
const admins: Record<string, string> = {};

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  edgePool = createPool(stack.database.edge, 'test-edge');
  for (const tenant of ['t_acme', 't_globex']) {
    await stack.createTenant(tenant);
    admins[tenant] = await stack.token({ tenant, user: 'admin', role: 'admin' });
  }
});
afterAll(async () => {
  await edgePool?.end();
  await stack?.stop();
});

const create = (body: object, token = admins.t_acme as string) =>
  http<MadeKey & { code?: string }>(`${stack.postgrest}/rpc/create_api_key`, { token, body });

async function makeKey(options: object = {}, tenant = 't_acme'): Promise<MadeKey> {
  const made = await create({ name: 'a program', ...options }, admins[tenant]);
  expect(made.status).toBe(200);
  return made.body;
}

async function revoke(id: string, tenant = 't_acme') {
  const { status, body } = await http<{ id?: string; code?: string }>(`${stack.postgrest}/rpc/revoke_api_key`, {
    token: admins[tenant] as string,
    body: { id },
  });
  return [status, body.code ?? body.id];
}

/** Through the edge with the key itself. */
async function asked(key: string, path = '/whoami', options: object = {}) {
  const { status, body } = await http<{ code?: string }>(`${stack.edge}/v1${path}`, { token: key, ...options });
  return [status, body?.code ?? body];
}
const whoami = (key: string) => asked(key, '/rpc/whoami');

/** The sealed token of a key, for doors that know no keys. */
async function exchange(key: string, parameters: Record<string, string> = {}) {
  const { body } = await http<{ access_token: string; scope: string; error?: string; code?: string }>(
    `${stack.edge}/auth/v1/token`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: key,
        subject_token_type: 'urn:rowhouse:params:oauth:token-type:api_key',
        ...parameters,
      }).toString(),
    },
  );
  return body;
}

/** At PostgREST's own door with a token. */
async function direct(token: string, path = '/rpc/whoami', options: object = {}) {
  const { status, body } = await http<{ code?: string }>(`${stack.postgrest}${path}`, { token, ...options });
  return [status, body?.code ?? body];
}

describe('an API key', () => {
  test('opens its own tenant as a subject of its own, through the edge', async () => {
    const acme = await makeKey({ scopes: ['read', 'write'] });
    const globex = await makeKey({}, 't_globex');
    expect(acme.key).toMatch(/^rh_live_acme_[0-9a-f]{16}_[0-9a-f]{64}$/);
    for (const _again of ['exchanged', 'kept']) {
      expect(await whoami(acme.key)).toEqual([
        200,
        { tenant_id: 't_acme', subject: `key:${acme.id}`, tenant_role: 'member' },
      ]);
      expect(await whoami(globex.key)).toEqual([
        200,
        { tenant_id: 't_globex', subject: `key:${globex.id}`, tenant_role: 'viewer' },
      ]);
    }
  });

  test('is shown once: nothing that is stored has it', async () => {
    const { id, key } = await makeKey();
    const listed = await http<object[]>(`${stack.edge}/v1/api_keys?id=eq.${id}`, { token: admins.t_acme as string });
    expect(listed.body).toMatchObject([{ id, name: 'a program', scopes: ['read'], tenant_role: 'viewer' }]);
    const secret = key.split('_').at(-1) as string;
    const { rows } = await stack.admin.query(
      `select (select count(*) from ledger.entries as e where e::text like '%' || $1 || '%') as entries,
        (select count(*) from auth.api_keys as k where k::text like '%' || $1 || '%') as keys,
        (select count(*) from ledger.entries where table_name = 'auth.api_keys' and row_id = $2) as recorded,
        (select count(*) from ledger.entries as e join auth.api_key_hashes as h on e::text like '%' || encode(h.hash, 'hex') || '%') as hashes`,
      [secret, id],
    );
    expect(rows[0]).toEqual({ entries: '0', keys: '0', recorded: '1', hashes: '0' });
  });

  test('writes in its own name', async () => {
    const { id, key } = await makeKey({ scopes: ['read', 'write'] });
    expect(await asked(key, '/files', { body: { name: 'a.csv', size: 1 } })).toEqual([201, null]);
    const { rows } = await stack.admin.query(
      `select subject, tenant_id from ledger.entries where table_name = 'app.files' and subject = $1`,
      [`key:${id}`],
    );
    expect(rows).toEqual([{ subject: `key:${id}`, tenant_id: 't_acme' }]);
  });

  test('uploads files', async () => {
    const { key } = await makeKey({ scopes: ['read', 'write'] });
    const upload = await http(`${stack.edge}/storage/v1/uploads`, {
      token: key,
      body: { name: 'a.csv', content_type: 'text/csv', size: 3 },
    });
    expect(upload.status).toBe(201);
  });

  test('tells when it was last used', async () => {
    const { id, key } = await makeKey();
    const used = async () =>
      (await stack.admin.query('select last_used_at from auth.api_key_uses where key_id = $1', [id])).rows;
    expect(await used()).toEqual([]);
    await whoami(key);
    expect(await used()).toHaveLength(1);
    await stack.admin.query(`update auth.api_key_uses set last_used_at = '2001-01-01' where key_id = $1`, [id]);
    const before = (await stack.admin.query('select count(*) from ledger.entries')).rows[0];
    await whoami(key); // from memory: told to the database later
    const told = async () => (await used())[0]?.last_used_at > new Date('2001-01-02');
    expect(await until(told, { timeoutMs: 30_000 })).toBe(true);
    expect((await stack.admin.query('select count(*) from ledger.entries')).rows[0]).toEqual(before);
  });

  test('is no token at the door of PostgREST; what it is exchanged for is', async () => {
    const { id, key } = await makeKey();
    expect((await direct(key))[0]).toBe(401);
    const { access_token, scope } = await exchange(key);
    expect(scope).toBe('read');
    expect(await direct(access_token)).toEqual([
      200,
      { tenant_id: 't_acme', subject: `key:${id}`, tenant_role: 'viewer' },
    ]);
  });
});

describe('refuses on the next request', () => {
  const good = [200, expect.objectContaining({ tenant_id: 't_acme' })];
  const endings: [name: string, end: (id: string) => Promise<unknown>, code: string, status: number][] = [
    ['a key that was revoked', (id) => revoke(id), 'api_key_invalid', 401],
    [
      'a key that has expired',
      (id) => stack.admin.query('update auth.api_keys set expires_at = now() where id = $1', [id]),
      'api_key_invalid',
      401,
    ],
    [
      'a key that is gone',
      (id) => stack.admin.query('delete from auth.api_keys where id = $1', [id]),
      'api_key_invalid',
      401,
    ],
  ];
  test.each(endings)('%s, at both doors', async (_name, end, code, status) => {
    const { id, key } = await makeKey();
    const other = await makeKey();
    const { access_token } = await exchange(key);
    expect(await whoami(key)).toEqual(good);
    expect(await asked(key, '/tenant')).toEqual([200, [expect.objectContaining({ id: 't_acme' })]]);
    expect(await direct(access_token)).toEqual(good);
    await end(id);
    expect(await whoami(key)).toEqual([status, code]);
    expect(await asked(key, '/tenant')).toEqual([status, code]);
    expect(await direct(access_token)).toEqual([status, code]);
    expect(await asked(access_token, '/tenant')).toEqual([status, code]);
    expect(await exchange(key)).toMatchObject({ error: 'invalid_request', code });
    expect(await whoami(other.key)).toEqual(good);
  });

  test('a key whose tenant was suspended, until it is resumed', async () => {
    const { key } = await makeKey({}, 't_globex');
    expect((await whoami(key))[0]).toBe(200);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_globex')`);
    expect(await whoami(key)).toEqual([403, 'tenant_suspended']);
    expect(await exchange(key)).toMatchObject({ error: 'invalid_target', code: 'tenant_suspended' });
    await stack.migrator.query(`select tenancy.resume_tenant('t_globex')`);
    expect((await whoami(key))[0]).toBe(200);
  });

  test('a scope that the key has lost', async () => {
    const { id, key } = await makeKey({ scopes: ['read', 'write'] });
    expect(await asked(key, '/files', { body: { name: 'a.csv', size: 1 } })).toEqual([201, null]);
    await stack.admin.query(`update auth.api_keys set scopes = '{read}' where id = $1`, [id]);
    expect(await asked(key, '/files', { body: { name: 'a.csv', size: 1 } })).toEqual([403, 'scope_insufficient']);
  });
});

test('an unknown key and a wrong secret are refused with the same words', async () => {
  const { key } = await makeKey();
  const wrongSecret = key.replace(/[0-9a-f]{64}$/, '0'.repeat(64));
  const unknown = key.replace(/_[0-9a-f]{16}_/, `_${'0'.repeat(16)}_`);
  const answers = [wrongSecret, unknown, key.replace('acme', 'nobody'), key.replace('acme', 'globex')].map(
    async (token) => {
      const { status, body } = await http<{ instance: string }>(`${stack.edge}/v1/rpc/whoami`, { token });
      return { status, body };
    },
  );
  const [first, ...others] = await Promise.all(answers);
  expect(first).toMatchObject({ status: 401, body: { code: 'api_key_invalid', details: null } });
  for (const other of others) expect(other).toEqual(first);
  expect(await whoami('rh_live_nonsense')).toEqual([401, 'api_key_invalid']);
  expect((await whoami(key))[0]).toBe(200);
});

test('a key is good from its networks alone', async () => {
  const here = await makeKey({ allowed_networks: ['10.0.0.0/8', '127.0.0.0/8'] });
  const elsewhere = await makeKey({ allowed_networks: ['10.0.0.0/8', '2001:db8::/32'] });
  expect((await whoami(here.key))[0]).toBe(200);
  expect(await whoami(elsewhere.key)).toEqual([403, 'address_refused']);
  expect(await asked(elsewhere.key, '/rpc/whoami', { headers: { 'x-forwarded-for': '10.0.0.1' } })).toEqual([
    403,
    'address_refused',
  ]);
  expect(await exchange(elsewhere.key)).toMatchObject({ error: 'invalid_request', code: 'address_refused' });
});

describe('scopes, in the database:', () => {
  test('without write, nothing is written, whatever its role and the door', async () => {
    const { key } = await makeKey({ scopes: ['read', 'admin'], tenant_role: 'admin' });
    const writer = await makeKey({ scopes: ['read', 'write'] });
    const file = { body: { name: 'a.csv', size: 1 } };
    const { access_token } = await exchange(key);
    const { access_token: writerToken } = await exchange(writer.key);
    expect(await direct(writerToken, '/files', file)).toEqual([201, null]);
    for (const ask of [
      (path: string, options: object) => asked(key, path, options),
      (path: string, options: object) => direct(access_token, path, options),
    ]) {
      expect(await ask('/files?limit=0', {})).toEqual([200, []]);
      expect(await ask('/files', file)).toEqual([403, 'scope_insufficient']);
      expect(await ask('/files?name=eq.a.csv', { method: 'PATCH', body: { name: 'b.csv' } })).toEqual([
        403,
        'scope_insufficient',
      ]);
      expect(await ask('/files?name=eq.a.csv', { method: 'DELETE' })).toEqual([403, 'scope_insufficient']);
      expect(await ask('/members', { body: { user_id: 'eve' } })).toEqual([403, 'scope_insufficient']);
      const revoking = await ask('/rpc/revoke_api_key', { body: { id: writer.id } });
      expect(revoking[0]).toBe(405);
    }
    expect((await whoami(writer.key))[0]).toBe(200);
    // Past the gate's own words: the transaction is read-only, and stays so.
    const insert = (client: { query(text: string): Promise<unknown> }) =>
      client.query(`insert into v1.files (name, size) values ('a.csv', 1)`);
    await expect(asTenant(edgePool, access_token, 'tenant_user', insert)).rejects.toMatchObject({ code: '25006' });
    await expect(
      asTenant(edgePool, access_token, 'tenant_user', async (client) => {
        await client.query('set transaction read write');
        await insert(client);
      }),
    ).rejects.toMatchObject({ code: '25001' });
    await asTenant(edgePool, writerToken, 'tenant_user', insert);
  });

  test('without admin, it acts as a member at most', async () => {
    const member = await makeKey({ scopes: ['read', 'write'], tenant_role: 'admin' });
    const admin = await makeKey({ scopes: ['read', 'write', 'admin'] });
    const viewer = await makeKey({ scopes: ['read', 'write', 'admin'], tenant_role: 'viewer' });
    expect((await whoami(member.key))[1]).toMatchObject({ tenant_role: 'member' });
    expect((await whoami(admin.key))[1]).toMatchObject({ tenant_role: 'admin' });
    expect((await whoami(viewer.key))[1]).toMatchObject({ tenant_role: 'viewer' });
    expect(await asked(member.key, '/members', { body: { user_id: 'bob' } })).toEqual([403, 'permission_denied']);
    expect(await asked(viewer.key, '/files', { body: { name: 'a', size: 1 } })).toEqual([403, 'permission_denied']);
    expect(await asked(admin.key, '/members', { body: { user_id: 'bob' } })).toEqual([201, null]);
  });

  test('a token can have fewer than its key, and not more', async () => {
    const { key } = await makeKey({ scopes: ['read', 'write'] });
    const { access_token, scope } = await exchange(key, { scope: 'read' });
    expect(scope).toBe('read');
    expect(await direct(access_token, '/files', { body: { name: 'a', size: 1 } })).toEqual([403, 'scope_insufficient']);
    expect(await exchange(key, { scope: 'read admin' })).toMatchObject({
      error: 'invalid_scope',
      code: 'scope_insufficient',
      status: 400,
    });
  });
});

describe('keys are kept by', () => {
  test('admins and owners of their own tenant', async () => {
    const { id } = await makeKey();
    const listed = async (token: string) =>
      (await http<{ id: string }[]>(`${stack.postgrest}/api_keys?id=eq.${id}`, { token })).body.map((key) => key.id);
    expect(await listed(await stack.token({ tenant: 't_acme', role: 'owner' }))).toEqual([id]);
    expect(await listed(await stack.token({ tenant: 't_acme', role: 'member' }))).toEqual([]);
    expect(await listed(admins.t_globex as string)).toEqual([]);
    expect(await revoke(id, 't_globex')).toEqual([404, 'api_key_unknown']);
    expect(await revoke(id)).toEqual([200, id]);
    expect(await revoke(id)).toEqual([200, id]);
  });

  test('not by members, and not by keys', async () => {
    const member = await stack.token({ tenant: 't_acme', role: 'member' });
    const refused = await create({ name: 'x' }, member);
    expect([refused.status, refused.body.code]).toEqual([403, 'role_insufficient']);
    const { key } = await makeKey({ scopes: ['read', 'write', 'admin'] });
    expect((await asked(key, '/api_keys?limit=1'))[0]).toBe(200);
    expect(await asked(key, '/rpc/create_api_key', { body: { name: 'x' } })).toEqual([403, 'role_insufficient']);
    expect(await asked(key, '/api_keys', { body: { name: 'x' } })).toEqual([405, 'request_invalid']);
  });

  test.each([
    [{ name: '' }],
    [{ scopes: [] }],
    [{ scopes: ['write'] }],
    [{ scopes: ['read', 'everything'] }],
    [{ tenant_role: 'owner' }],
    [{ allowed_networks: [] }],
    [{ expires_at: '2001-01-01' }],
  ])('nobody, where it is %j', async (options) => {
    const made = await create({ name: 'a program', ...options });
    expect([made.status, made.body.code]).toEqual([422, 'api_key_malformed']);
  });
});
