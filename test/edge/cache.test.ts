import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { type HttpOptions, http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What is kept is given only where the database would say the same, to the same caller, at the moment it is asked.

let stack: TestStack;
let acme: string;
let globex: string;

beforeAll(async () => {
  // A busy machine that is late by 250 ms would make a MISS of what is kept.
  stack = await createTestStack({ edge: true, env: { EDGE_CACHE_PATIENCE_MS: '1000' } });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  acme = await stack.token({ tenant: 't_acme' });
  globex = await stack.token({ tenant: 't_globex' });
});
afterAll(() => stack?.stop());

interface Named {
  name: string;
}

async function read<Body = Named[]>(path: string, token = acme, options: HttpOptions = {}) {
  const { status, headers, body } = await http<Body>(`${stack.edge}/v1${path}`, { token, ...options });
  return { status, headers, body, cache: headers.get('x-cache') };
}

/** Reads until the second of two reads is a hit: the first may have met another request's change. */
async function warm<Body = Named[]>(path: string, token = acme, options: HttpOptions = {}) {
  await expect.poll(async () => (await read(path, token, options)).cache, { interval: 20 }).toBe('HIT');
  return read<Body>(path, token, options);
}

const addFile = (door: string, name: string, token = acme) =>
  http(door, { token, body: { name, content_type: 'text/csv', size: 1 } });
const throughEdge = () => `${stack.edge}/v1/files`;
const pastEdge = () => `${stack.postgrest}/files`;

/** Changes the API's schema, and waits until PostgREST has it. */
async function define(sql: string, probe: string): Promise<void> {
  await stack.migrator.query(sql);
  await stack.migrator.query(`notify pgrst, 'reload schema'`);
  await expect.poll(async () => (await http(`${stack.postgrest}${probe}`, { token: acme })).status).toBe(200);
}

describe('a GET', () => {
  test('is answered from the cache the second time, by its own tenant', async () => {
    await addFile(throughEdge(), 'acme.csv');
    await addFile(throughEdge(), 'globex.csv', globex);
    const path = '/files?select=name&name=like.*.csv&order=name';
    expect(await read(path)).toMatchObject({ status: 200, cache: 'MISS', body: [{ name: 'acme.csv' }] });
    expect(await read(path, globex)).toMatchObject({ status: 200, cache: 'MISS', body: [{ name: 'globex.csv' }] });
    expect(await read(path)).toMatchObject({ status: 200, cache: 'HIT', body: [{ name: 'acme.csv' }] });
    expect(await read(path, globex)).toMatchObject({ status: 200, cache: 'HIT', body: [{ name: 'globex.csv' }] });
  });

  test('has the headers of the first answer, and says how it may be kept', async () => {
    const options = { headers: { prefer: 'count=exact' } };
    const first = await read('/files?select=name&limit=1000', acme, options);
    const second = await warm('/files?select=name&limit=1000', acme, options);
    expect(first.cache).toBe('MISS');
    for (const name of ['content-type', 'content-range', 'content-location', 'etag', 'cache-control']) {
      expect([name, second.headers.get(name)]).toEqual([name, first.headers.get(name)]);
    }
    expect(second.headers.get('content-range')).toBe(`0-${first.body.length - 1}/${first.body.length}`);
    expect(second.headers.get('cache-control')).toBe('private, no-cache');
    expect(second.headers.get('vary')).toContain('Authorization');
    expect([first.headers.get('age'), second.headers.get('age')]).toEqual([null, '0']);
  });

  test('is another one with other negotiated headers', async () => {
    const path = '/files?select=name&limit=1';
    await warm(path);
    const csv = await read<string>(path, acme, { headers: { accept: 'text/csv' } });
    expect([csv.cache, csv.body]).toEqual(['MISS', 'name\nacme.csv']);
    const one = await read<Named>(path, acme, { headers: { accept: 'application/vnd.pgrst.object+json' } });
    expect([one.cache, one.body]).toEqual(['MISS', { name: 'acme.csv' }]);
    expect((await read(path, acme, { headers: { range: '0-0' } })).cache).toBe('MISS');
    expect((await read(path, acme, { headers: { prefer: 'count=exact' } })).cache).toBe('MISS');
    expect(await read(path)).toMatchObject({ cache: 'HIT', body: [{ name: 'acme.csv' }] });
  });

  test('that is no 200 is not kept', async () => {
    for (let nth = 0; nth < 2; nth++) {
      expect(await read('/files?nme=eq.1')).toMatchObject({ status: 400, cache: 'MISS' });
      expect(await read('/nothing')).toMatchObject({ status: 404, cache: 'BYPASS' });
      const partial = await read('/files?select=name&limit=0', acme, { headers: { prefer: 'count=exact' } });
      expect([partial.status, partial.cache]).toEqual([206, 'MISS']);
    }
  });

  test('of a moment, of an unrecorded table or of a function that declares nothing is not kept', async () => {
    for (const path of [
      '/files?created_at=lt.now',
      '/job_findings?limit=1',
      '/rpc/whoami',
      '/tenant',
      '/jobs?select=id::date',
    ]) {
      const answers = [await read(path), await read(path)];
      expect([path, ...answers.map(({ cache }) => cache)]).toEqual([path, 'BYPASS', 'BYPASS']);
    }
  });
});

describe('a change', () => {
  const path = '/files?select=name&name=like.change*&order=name';
  const names = async (token = acme) => (await read(path, token)).body.map(({ name }) => name);

  test('through the edge is in the next answer', async () => {
    await warm(path);
    for (let nth = 0; nth < 20; nth++) {
      await addFile(throughEdge(), `change ${nth}`);
      expect(await names()).toHaveLength(nth + 1);
      expect((await read(path)).cache).toBe('HIT');
    }
  });

  test("at PostgREST's own door is in the next answer", async () => {
    const before = (await warm(path)).body.length;
    for (let nth = 1; nth <= 20; nth++) {
      await addFile(pastEdge(), `change ${nth}`);
      expect(await names()).toHaveLength(before + nth);
    }
    await http(`${pastEdge()}?name=like.change*`, { method: 'DELETE', token: acme });
    expect(await names()).toEqual([]);
  });

  test('that is rolled back, or of another tenant, leaves what is kept', async () => {
    await warm(path);
    await addFile(throughEdge(), 'change', globex);
    expect((await addFile(throughEdge(), 'change/')).status).toBe(400);
    expect(await read(path)).toMatchObject({ cache: 'HIT', body: [] });
    expect(await names(globex)).toEqual(['change']);
  });

  test('of a table in an embed or beneath a view is in the next answer', async () => {
    await stack.migrator.query(
      `insert into tenancy.job_types (type, description) values ('test', 'for this test') on conflict do nothing`,
    );
    const definition = `create view v1.overview with (security_invoker = true) as
        select f.tenant_id, f.name, (select count(*) from app.jobs) as jobs from app.files f;
      grant select on v1.overview to tenant_user`;
    await define(definition, '/overview?limit=0');
    const embed = '/jobs?select=type,files(name)';
    const overview = '/overview?select=name,jobs&limit=1';
    const filesAlone = '/files?select=name&name=eq.none';
    await warm(embed);
    await warm(overview);
    await warm(filesAlone);
    await http(`${stack.postgrest}/jobs`, { token: acme, body: { type: 'test' } });
    expect(await read(embed)).toMatchObject({ cache: 'MISS', body: [{ type: 'test', files: [] }] });
    expect(await read(overview)).toMatchObject({ cache: 'MISS', body: [{ jobs: 1 }] });
    expect((await read(filesAlone)).cache).toBe('HIT');
    await warm(embed);
    await addFile(pastEdge(), 'another');
    expect((await read(embed)).cache).toBe('MISS');
    expect((await read('/jobs?select=type,files!files_job_fkey(name)')).cache).toBe('BYPASS');
  });
});

describe('who asks', () => {
  const path = '/members?select=user_id&order=user_id';

  test('is given nothing that another subject or role was answered, nor another tenant', async () => {
    await warm(path);
    const member = await stack.token({ tenant: 't_acme', role: 'member' });
    const less = await stack.token({ tenant: 't_acme', user: 'owner', role: 'viewer' });
    for (const token of [member, less]) {
      expect((await read(path, token)).cache).toBe('MISS');
      expect((await read(path, token)).cache).toBe('HIT');
    }
  });

  test('shares answers between the tokens of one subject once the database has let each in', async () => {
    const second = await stack.token({ tenant: 't_acme' });
    await warm(path);
    expect((await read(path, second)).cache).toBe('MISS');
    expect((await read(path, second)).cache).toBe('HIT');
  });

  test('is refused on the next request after being removed, and sees less after a downgrade', async () => {
    await stack.addMember('t_acme', 'leaver', 'member');
    const leaver = await stack.token({ tenant: 't_acme', user: 'leaver', role: 'member' });
    await warm(path, leaver);
    await stack.migrator.query(`delete from tenancy.members where tenant_id = 't_acme' and user_id = 'leaver'`);
    expect(await read(path, leaver)).toMatchObject({ status: 403, body: { code: 'membership_required' } });
    const mine = '/api_keys?select=id';
    await stack.addMember('t_acme', 'admin2', 'admin');
    const admin = await stack.token({ tenant: 't_acme', user: 'admin2', role: 'admin' });
    await warm(path, admin);
    await stack.migrator.query(`update tenancy.members set role = 'viewer' where user_id = 'admin2'`);
    expect((await read(path, admin)).cache).toBe('MISS');
    expect(await read(mine, admin)).toMatchObject({ status: 200, body: [] });
  });

  test('is refused on the next request after the tenant was suspended', async () => {
    await stack.createTenant('t_paused');
    const paused = await stack.token({ tenant: 't_paused' });
    await warm(path, paused);
    await stack.migrator.query(`select tenancy.suspend_tenant('t_paused')`);
    expect(await read(path, paused)).toMatchObject({ status: 403, body: { code: 'tenant_suspended' } });
    await stack.migrator.query(`select tenancy.resume_tenant('t_paused')`);
    expect((await warm(path, paused)).status).toBe(200);
  });

  test('is refused on the next request after an API key was revoked or its signing key retired', async () => {
    const body = { name: 'reader', scopes: ['read'] };
    const made = await http<{ id: string; key: string }>(`${stack.edge}/v1/rpc/create_api_key`, { token: acme, body });
    expect(made.status).toBe(200);
    const { id, key } = made.body;
    await warm('/files?select=name&limit=1', key);
    await http(`${stack.postgrest}/rpc/revoke_api_key`, { token: acme, body: { id } });
    expect((await read('/files?select=name&limit=1', key)).status).toBe(401);

    const old = await stack.token({ tenant: 't_acme' });
    await warm(path, old);
    const { rows } = await stack.migrator.query<{ kid: string }>(
      `select kid from auth.list_signing_keys() where status = 'active'`,
    );
    await stack.migrator.query('select auth.rotate_signing_key()');
    await stack.migrator.query('select auth.retire_signing_key($1)', [rows[0]?.kid]);
    expect((await read(path, old)).status).toBe(401);
    acme = await stack.token({ tenant: 't_acme' });
    globex = await stack.token({ tenant: 't_globex' });
    await expect.poll(async () => (await read(path)).status).toBe(200);
  });
});

describe('conditions and directives', () => {
  const path = '/files?select=name&name=eq.conditional';
  const asking = (header: string, value: string) => read(path, acme, { headers: { [header]: value } });

  test('answer 304 while the tag is the same', async () => {
    const tag = (await warm(path)).headers.get('etag') ?? '';
    expect(tag).toMatch(/^"[\w-]{27}"$/);
    for (const value of [tag, `"other", W/${tag}`, '*']) {
      const { status, cache, body, headers } = await asking('if-none-match', value);
      expect([status, cache, body, headers.get('etag')]).toEqual([304, 'HIT', null, tag]);
    }
    expect(await asking('if-none-match', '"other"')).toMatchObject({ status: 200, cache: 'HIT' });
    await addFile(pastEdge(), 'elsewhere');
    expect(await asking('if-none-match', tag)).toMatchObject({ status: 304, cache: 'MISS' });
    await addFile(pastEdge(), 'conditional');
    expect(await asking('if-none-match', tag)).toMatchObject({ status: 200, body: [{ name: 'conditional' }] });
  });

  test('of the request are kept to', async () => {
    await warm(path);
    expect((await asking('cache-control', 'no-store')).cache).toBe('BYPASS');
    for (const value of ['no-cache', 'max-age=0']) expect((await asking('cache-control', value)).cache).toBe('MISS');
    expect((await asking('pragma', 'no-cache')).cache).toBe('MISS');
    for (const value of ['max-age=60', 'only-if-cached'])
      expect((await asking('cache-control', value)).cache).toBe('HIT');
    await addFile(pastEdge(), 'conditional');
    expect(await asking('cache-control', 'only-if-cached')).toMatchObject({
      status: 504,
      body: { code: 'not_cached' },
    });
  });

  test('give a compressed answer the same content, and a tag that says so', async () => {
    const long = Array.from({ length: 40 }, (_, nth) => ({
      name: `packed ${nth}`,
      content_type: 'text/csv',
      size: nth,
    }));
    expect((await http(throughEdge(), { token: acme, body: long })).status).toBe(201);
    const packed = '/files?select=id,name,size,content_type&name=like.packed*&order=size';
    const plain = await warm(packed, acme, { headers: { 'accept-encoding': 'identity' } });
    for (const encoding of ['gzip', 'br']) {
      for (let nth = 0; nth < 5; nth++) {
        const { cache, headers, body } = await read(packed, acme, { headers: { 'accept-encoding': encoding } });
        expect([cache, headers.get('content-encoding'), body]).toEqual(['HIT', encoding, plain.body]);
        expect(headers.get('etag')).toBe(`W/${plain.headers.get('etag')}`);
        expect(headers.get('vary')).toContain('Accept-Encoding');
      }
    }
    const refused = await read(packed, acme, { headers: { 'accept-encoding': 'br;q=0, gzip;q=0' } });
    expect(refused.body).toEqual(plain.body);
  });

  test('for HEAD, and writes, are none', async () => {
    await warm(path);
    expect((await read(path, acme, { method: 'HEAD' })).cache).toBeNull();
  });
});

test('asks PostgREST once for many who ask the same at the same time', async () => {
  const path = '/files?select=name&name=eq.flight';
  await read(path, acme, { headers: { 'cache-control': 'no-cache' } });
  await addFile(pastEdge(), 'flight');
  const answers = await connected(stack.database.migrator, async (locker) => {
    await locker.query('begin; lock table app.files in access exclusive mode');
    const asked = Array.from({ length: 12 }, () => read(path));
    const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and usename = 'authenticator' and datname = current_database()`;
    await expect.poll(async () => (await stack.admin.query(waiting)).rowCount).toBe(1);
    await locker.query('commit');
    return Promise.all(asked);
  });
  expect(answers.map(({ body }) => body)).toEqual(answers.map(() => [{ name: 'flight' }]));
  expect(answers.filter(({ cache }) => cache === 'MISS')).toHaveLength(1);
});

test('is off for a tenant, and for a relation, as the operator says', async () => {
  await stack.createTenant('t_off');
  const token = await stack.token({ tenant: 't_off' });
  const operator = await stack.operatorToken();
  const set = (settings: object) =>
    http(`${stack.edge}/admin/v1/rpc/set_tenant_settings`, { token: operator, body: { id: 't_off', settings } });
  const path = '/files?select=name';
  await warm(path, token);
  expect((await set({ cache_enabled: false })).status).toBe(200);
  await expect.poll(async () => (await read(path, token)).cache).toBe('BYPASS');
  await set({ cache_enabled: true, uncached_relations: ['files'] });
  await warm('/jobs?select=id', token);
  for (const each of [path, '/jobs?select=id,files(name)']) {
    await expect.poll(async () => (await read(each, token)).cache).toBe('BYPASS');
  }
  await set({ uncached_relations: [] });
  await warm(path, token);
});

describe('without the follower', () => {
  const path = '/files?select=name&name=like.cut*';
  const backends = `from pg_stat_activity where application_name = 'rowhouse-edge-follower' and datname = current_database()`;

  test('cut off again and again, answers are right', async () => {
    for (let nth = 1; nth <= 15; nth++) {
      await read(path);
      await stack.admin.query(`select pg_terminate_backend(pid) ${backends}`);
      await addFile(nth % 2 === 0 ? pastEdge() : throughEdge(), `cut ${nth}`);
      expect((await read(path)).body).toHaveLength(nth);
    }
    await warm(path);
  });

  test('stalled, answers come from PostgREST', async () => {
    const before = (await warm(path)).body.length;
    const { rows } = await stack.admin.query<{ pid: number }>(`select pid ${backends}`);
    const pids = rows.map(({ pid }) => pid);
    expect(pids).not.toEqual([]);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      for (let nth = 1; nth <= 5; nth++) {
        await addFile(pastEdge(), `cut off ${nth}`);
        const { cache, body } = await read(path);
        expect([cache, body.length]).toEqual(['MISS', before + nth]);
      }
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    expect((await warm(path)).body).toHaveLength(before + 5);
  });
});

describe('a schema', () => {
  const view = (where: string) => `create or replace view v1.named with (security_invoker = true) as
      select f.tenant_id, f.name from app.files f where ${where};
    grant select on v1.named to tenant_user`;

  test('that changes takes what was kept with it within a second', async () => {
    await define(view('true'), '/named?limit=0');
    const path = '/named?select=name&limit=1';
    expect((await warm(path)).body).toHaveLength(1);
    await stack.migrator.query(view('false'));
    await expect.poll(async () => (await read(path)).body, { timeout: 1000, interval: 50 }).toEqual([]);
    await stack.migrator.query(view('true'));
    await expect.poll(async () => (await read(path)).body, { timeout: 1000, interval: 50 }).toHaveLength(1);
    await stack.migrator.query('revoke select on v1.named from tenant_user');
    await expect.poll(async () => (await read(path)).status, { timeout: 1000, interval: 50 }).toBe(403);
    await stack.migrator.query('grant select on v1.named to tenant_user');
    const hide = `create policy hide on app.files as restrictive for select to tenant_user using (false)`;
    await warm(path);
    await stack.migrator.query(hide);
    await expect.poll(async () => (await read(path)).body, { timeout: 1000, interval: 50 }).toEqual([]);
    await stack.migrator.query('drop policy hide on app.files');
  });

  test('that gives another value each time is not cached', async () => {
    await stack.migrator.query(`create function app.lucky() returns integer language sql stable return 7`);
    await stack.migrator.query('grant execute on function app.lucky() to tenant_user');
    const unsteady = [
      'now() - f.created_at > $$0$$',
      'f.created_at < current_timestamp',
      'random() < 2',
      `f.created_at > 'yesterday'::text::timestamptz - interval '1 year'`,
      'app.lucky() = 7',
      'exists (select from pg_catalog.pg_class)',
      `request.header('x-any') is null`,
    ];
    for (const where of unsteady) {
      await define(view(where), '/named?limit=1');
      const path = `/named?select=name&limit=1`;
      await expect
        .poll(async () => [where, (await read(path)).cache, (await read(path)).cache])
        .toEqual([where, 'BYPASS', 'BYPASS']);
    }
    await stack.migrator.query(`comment on function app.lucky() is '@cacheable'`);
    await define(view('app.lucky() = 7'), '/named?limit=1');
    await warm('/named?select=name&limit=1');
  });

  test('with media types of its own has answers of those not kept, which may rest on anything', async () => {
    const path = '/files?select=*&limit=1&order=id';
    const as = (accept: string) => ({ headers: { accept } });
    const aggregate = (type: string, name: string) => `
      create domain v1."${type}" as text;
      create function v1.${name}_step(state v1."${type}", file v1.files) returns v1."${type}" language sql stable
        return (coalesce(state, '') || file.name || ' of ' || (select count(*) from v1.members))::v1."${type}";
      create aggregate v1.${name}(v1.files) (sfunc = v1.${name}_step, stype = v1."${type}");
      grant execute on function v1.${name}_step(v1."${type}", v1.files), v1.${name}(v1.files) to tenant_user`;
    const reload = () => stack.migrator.query(`notify pgrst, 'reload schema'`);
    const peeked = async () => (await read<string>(path, acme, as('text/x-peek'))).body;
    await addFile(throughEdge(), 'peeked');
    await stack.migrator.query(aggregate('text/x-peek', 'peek'));
    await reload();
    await expect.poll(peeked).toMatch(/ of \d+$/);
    // Until the edge has seen it as well, it is a type like any other.
    await expect.poll(async () => (await read(path, acme, as('text/x-peek'))).cache).toBe('BYPASS');
    for (const accept of ['text/x-peek', 'Text/X-Peek; a=1', 'application/json;q=0.1, text/x-peek']) {
      const answers = [await read(path, acme, as(accept)), await read(path, acme, as(accept))];
      expect([accept, ...answers.map(({ cache }) => cache)]).toEqual([accept, 'BYPASS', 'BYPASS']);
    }
    const before = await peeked();
    const body = { user_id: 'peeked', role: 'viewer' };
    expect((await http(`${stack.edge}/v1/members`, { token: acme, body })).status).toBe(201);
    expect(await peeked()).not.toBe(before);
    // PostgREST's own are as ever, and those that nobody makes.
    for (const accept of ['application/json', '*/*', 'text/csv', 'application/json, text/plain, */*'])
      await warm(path, acme, as(accept));

    // One that stands for all.
    await stack.migrator.query(aggregate('*/*', 'any_type'));
    await reload();
    await expect.poll(async () => (await read(path)).cache).toBe('BYPASS');
    await stack.migrator.query('drop domain v1."*/*", v1."text/x-peek" cascade');
    await reload();
    await warm(path);
  });

  test('declares what a function reads', async () => {
    const definition = `create function v1.count_files() returns bigint language sql stable security invoker
        begin atomic select count(*) from app.files; end;
      comment on function v1.count_files() is $$How many files

@cacheable app.files$$;
      grant execute on function v1.count_files() to tenant_user`;
    await define(definition, '/rpc/count_files');
    const before = (await warm('/rpc/count_files')).body as unknown as number;
    await addFile(pastEdge(), 'counted');
    expect(await read('/rpc/count_files')).toMatchObject({ cache: 'MISS', body: before + 1 });
  });
});
