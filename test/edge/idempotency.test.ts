import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPool, transaction } from '../../functions/database.ts';
import { type HttpResponse, http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { testWorker } from '../support/worker.ts';

// Idempotency-Key: what was carried out is not carried out again, and answers as it did.

let stack: TestStack;
let owner: string;
let keys = 0;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  owner = await stack.token({ tenant: 't_acme' });
});

afterAll(() => stack?.stop());

interface Problem {
  code: string;
  details: string | null;
}

const newKey = () => `key-${++keys}`;
const file = (name: string) => ({ name, content_type: 'text/csv', size: 14 });

interface Call {
  key?: string;
  method?: string;
  token?: string;
  body?: unknown;
  prefer?: string;
  door?: 'edge' | 'postgrest';
}

function send(
  path: string,
  { key, token = owner, prefer, door = 'edge', ...rest }: Call,
): Promise<HttpResponse<Problem>> {
  const base = door === 'edge' ? `${stack.edge}/v1` : stack.postgrest;
  const headers = { ...(key === undefined ? {} : { 'idempotency-key': key }), ...(prefer ? { prefer } : {}) };
  return http<Problem>(`${base}${path}`, { token, headers, ...rest });
}

async function filesNamed(name: string, token = owner): Promise<number> {
  const { body } = await http<unknown[]>(`${stack.edge}/v1/files?name=eq.${name}`, { token });
  return body.length;
}

/** What an answer says of itself, not of the moment at which it was sent. */
function lasting({ status, headers, body }: HttpResponse) {
  const named = ['content-type', 'content-range', 'location', 'preference-applied'].map((name) => headers.get(name));
  return [status, body, ...named];
}

const replayed = ({ headers }: HttpResponse) => headers.get('idempotency-replayed');

describe('a request with the key of one that was carried out', () => {
  test('gets the same status, headers and body, and does nothing', async () => {
    const key = newKey();
    const call = { key, body: file('once'), prefer: 'return=representation,count=exact' };
    const first = await send('/files?select=id,name', call);
    const again = await send('/files?select=id,name', call);
    expect([first.status, replayed(first), replayed(again)]).toEqual([201, null, 'true']);
    expect(first.body).toMatchObject([{ name: 'once' }]);
    expect(lasting(again)).toEqual(lasting(first));
    expect(await filesNamed('once')).toBe(1);
    // As a structured field, too.
    expect(replayed(await send('/files?select=id,name', { ...call, key: `"${key}"` }))).toBe('true');
  });

  test.each([
    ['PATCH', { name: 'patched' }, 'return=minimal', 204],
    ['PATCH', { name: 'shown' }, 'return=representation', 200],
    ['DELETE', undefined, 'return=representation', 200],
    ['POST', file('located'), 'return=headers-only', 201],
  ])('is answered again when it was %s %j with %s', async (method, body, prefer, status) => {
    const name = `target-${newKey()}`;
    expect((await send('/files', { body: file(name) })).status).toBe(201);
    const path = method === 'POST' ? '/files' : `/files?name=eq.${name}`;
    const call = { key: newKey(), method, body, prefer };
    const first = await send(path, call);
    expect([first.status, replayed(first)]).toEqual([status, null]);
    const again = await send(path, call);
    // Of a second PATCH or DELETE nothing would have been found.
    expect(lasting(again)).toEqual(lasting(first));
    expect(replayed(again)).toBe('true');
  });

  test.each<[string, string, Call]>([
    ['body', '/files', { body: file('other') }],
    ['target', '/files?columns=name', { body: file('mine') }],
    ['method', '/files', { method: 'PATCH', body: file('mine') }],
    ['preference', '/files', { body: file('mine'), prefer: 'return=representation' }],
  ])('is refused with another %s', async (_what, path, other) => {
    const key = newKey();
    expect((await send('/files', { key, body: file('mine') })).status).toBe(201);
    const before = (await filesNamed('mine')) + (await filesNamed('other'));
    const refused = await send(path, { ...other, key });
    expect([refused.status, refused.body.code]).toEqual([422, 'idempotency_mismatch']);
    expect((await filesNamed('mine')) + (await filesNamed('other'))).toBe(before);
  });

  test('is its own for another member and another tenant', async () => {
    const key = newKey();
    const call = { key, body: file('shared') };
    const others = [await stack.token({ tenant: 't_acme', role: 'member' }), await stack.token({ tenant: 't_globex' })];
    for (const token of [owner, ...others]) {
      const answer = await send('/files', { ...call, token });
      expect([answer.status, replayed(answer)]).toEqual([201, null]);
    }
    expect(await filesNamed('shared')).toBe(2);
  });

  test('is not answered to a token that may do less', async () => {
    const key = newKey();
    const lesser = await stack.token({ tenant: 't_acme', user: 'owner', role: 'viewer' });
    expect((await send('/files', { key, body: file('ranked') })).status).toBe(201);
    const refused = await send('/files', { key, token: lesser, body: file('ranked') });
    expect([refused.status, refused.body.code]).toEqual([422, 'idempotency_mismatch']);
  });

  test('is not answered to a member who was downgraded since, whatever the token says', async () => {
    const member = (user_id: string, role: string) => ({ user_id, role });
    const token = await stack.token({ tenant: 't_acme', role: 'admin' });
    const same = await stack.token({ tenant: 't_acme', role: 'admin' });
    const call = { key: newKey(), token, body: member('new-1', 'viewer'), prefer: 'return=representation' };
    const first = await send('/members', call);
    expect([first.status, replayed(await send('/members', call))]).toEqual([201, 'true']);
    expect(replayed(await send('/members', { ...call, token: same }))).toBe('true');
    const setRole = "update tenancy.members set role = $1 where tenant_id = 't_acme' and user_id = 'admin'";
    await stack.migrator.query(setRole, ['viewer']);
    const refused = await send('/members', call);
    expect([refused.status, refused.body.code, replayed(refused)]).toEqual([422, 'idempotency_mismatch', null]);
    expect(refused.body.details).toBe('the key was used by who could do more, or less');
    await stack.migrator.query(setRole, ['admin']);
    expect(lasting(await send('/members', call))).toEqual(lasting(first));
  });

  test('is not answered to a token of the same API key that has fewer scopes', async () => {
    const scopes = ['read', 'write', 'admin'];
    const made = await http<{ key: string }>(`${stack.edge}/v1/rpc/create_api_key`, {
      token: owner,
      body: { name: 'manager', scopes },
    });
    const exchanged = async (scope: string) => {
      const asked = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:rowhouse:params:oauth:token-type:api_key',
        subject_token: made.body.key,
        scope,
      });
      const { status, body } = await http<{ access_token: string }>(`${stack.edge}/auth/v1/token`, {
        body: String(asked),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      });
      expect(status).toBe(200);
      return body.access_token;
    };
    const [full, less] = [await exchanged('read write admin'), await exchanged('read write')];
    const call = { key: newKey(), body: { user_id: 'new-2', role: 'viewer' }, prefer: 'return=representation' };
    expect((await send('/members', { ...call, token: full })).status).toBe(201);
    expect(replayed(await send('/members', { ...call, token: full }))).toBe('true');
    const refused = await send('/members', { ...call, token: less });
    expect([refused.status, refused.body.code, replayed(refused)]).toEqual([422, 'idempotency_mismatch', null]);
  });

  test('is answered by the gate first: not to a suspended tenant', async () => {
    await stack.createTenant('t_initech');
    const token = await stack.token({ tenant: 't_initech' });
    const call = { key: newKey(), token, body: file('paused') };
    expect((await send('/files', call)).status).toBe(201);
    await stack.migrator.query("update tenancy.tenants set status = 'suspended' where id = 't_initech'");
    expect((await send('/files', call)).body.code).toBe('tenant_suspended');
    await stack.migrator.query("update tenancy.tenants set status = 'active' where id = 't_initech'");
    expect(replayed(await send('/files', call))).toBe('true');
  });
});

describe('a request with the key of one that was not carried out', () => {
  test('is carried out', async () => {
    const key = newKey();
    const wrong = { key, body: { ...file('retried'), size: -1 } };
    expect((await send('/files', wrong)).status).toBe(400);
    expect([(await send('/files', wrong)).status, replayed(await send('/files', wrong))]).toEqual([400, null]);
    expect((await send('/files', { key, body: file('retried') })).status).toBe(201);
    expect(await filesNamed('retried')).toBe(1);
  });

  test('waits for nothing while that one runs, and is told to come again', async () => {
    const call = { key: newKey(), body: file('slow') };
    const holder = await stack.admin.connect();
    try {
      await holder.query('begin; lock table app.files in exclusive mode');
      const first = send('/files', call);
      const waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
      await expect.poll(async () => (await stack.admin.query(waiting)).rowCount).toBe(1);
      const second = await send('/files', call);
      expect([second.status, second.body.code, second.headers.get('retry-after')]).toEqual([
        409,
        'idempotency_in_flight',
        '1',
      ]);
      expect((await send('/files', { ...call, door: 'postgrest' })).body.code).toBe('idempotency_in_flight');
      await holder.query('commit');
      expect((await first).status).toBe(201);
      expect(replayed(await send('/files', call))).toBe('true');
    } finally {
      holder.release();
    }
    expect(await filesNamed('slow')).toBe(1);
  });

  test('is carried out once, however many are sent at the same time', async () => {
    const call = { key: newKey(), body: file('raced'), prefer: 'return=representation' };
    const answers = await Promise.all(Array.from({ length: 12 }, () => send('/files', call)));
    const first = answers.filter((answer) => answer.status === 201 && replayed(answer) === null);
    expect(first).toHaveLength(1);
    for (const answer of answers) {
      if (answer.status === 201) expect(answer.body).toEqual(first[0]?.body);
      else expect([answer.status, answer.body.code]).toEqual([409, 'idempotency_in_flight']);
    }
    expect(await filesNamed('raced')).toBe(1);
  });
});

describe('an answer that cannot be repeated', () => {
  test('is not carried out again when it was too large to keep', async () => {
    const body = Array.from({ length: 900 }, () => file('bulk'));
    const call = { key: newKey(), body, prefer: 'return=representation' };
    const first = await send('/files', call);
    expect([first.status, JSON.stringify(first.body).length > 256 * 1024]).toEqual([201, true]);
    expect(first.body).toHaveLength(900);
    const again = await send('/files', call);
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_answer_lost']);
    expect(again.body.details).toBe('the request was carried out with status 201; such an answer is not kept');
    expect(
      (
        await http(`${stack.edge}/v1/files?name=eq.bulk&limit=0`, { token: owner, headers: { prefer: 'count=exact' } })
      ).headers.get('content-range'),
    ).toBe('*/900');
  });

  test('is not carried out again when it says no-store, as one with a secret does', async () => {
    const call = { key: newKey(), body: { name: 'secret', scopes: ['read'] } };
    const first = await send('/rpc/create_api_key', call);
    const { key } = first.body as unknown as { key: string };
    expect([first.status, first.headers.get('cache-control'), typeof key]).toEqual([200, 'no-store', 'string']);
    const { rows } = await stack.admin.query('select * from auth.idempotency_keys where key = $1', [call.key]);
    expect(rows).toMatchObject([{ answer_status: 200, answer_headers: {}, answer_body: null }]);
    const again = await send('/rpc/create_api_key', call);
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_answer_lost']);
    expect(again.body.details).toBe('the request was carried out with status 200; such an answer is not kept');
    const made = await http<unknown[]>(`${stack.edge}/v1/api_keys?name=eq.secret`, { token: owner });
    expect(made.body).toHaveLength(1);
  });

  test('is not carried out again when a function gave a status of its own that is no success', async () => {
    await stack.migrator.query(`
      create function v1.brew(name text) returns json language plpgsql volatile security invoker set search_path = '' as $$ begin
        insert into v1.files (name, content_type, size) values (brew.name, 'text/csv', 1);
        perform set_config('response.status', '418', true);
        return '{"code": "teapot"}';
      end $$;
      grant execute on function v1.brew(text) to tenant_user;
      notify pgrst, 'reload schema'`);
    const brew = (call: Call) => send('/rpc/brew', { ...call, body: { name: 'brewed' } });
    const call = { key: newKey() };
    await expect.poll(async () => (await brew(call)).status).toBe(418);
    const again = await brew(call);
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_answer_lost']);
    expect(await filesNamed('brewed')).toBe(1);
  });

  test('is said to be lost when the edge died between the commit and keeping it', async () => {
    const call = { key: newKey(), body: file('orphaned') };
    await stack.admin.query(`
      create function public.stall() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
      create trigger stall before update on auth.idempotency_keys for each row execute function public.stall()`);
    const sent = send('/files', call).catch((error: Error) => error);
    const stalled = "select pid from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
    await expect.poll(async () => (await stack.admin.query(stalled)).rowCount).toBe(1);
    process.kill(stack.pid('edge'), 'SIGKILL');
    expect(await sent).toBeInstanceOf(Error);
    await stack.admin.query(`select pg_terminate_backend(pid) from (${stalled}) as stalled`);
    await stack.admin.query('drop trigger stall on auth.idempotency_keys; drop function public.stall()');
    await stack.restart('edge');

    const again = await send('/files', call);
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_answer_lost']);
    expect(again.body.details).toBe('the request was carried out; its answer was not kept');
    expect(await filesNamed('orphaned')).toBe(1);
  });
});

test.each([
  ['nothing', ''],
  ['too much', 'x'.repeat(256)],
])('a key of %s is refused', async (_what, key) => {
  const refused = await send('/files', { key, body: file('unkeyed') });
  expect([refused.status, refused.body.code]).toEqual([400, 'idempotency_key_invalid']);
  expect(await filesNamed('unkeyed')).toBe(0);
});

test('a read has no use for a key', async () => {
  const key = newKey();
  for (let time = 0; time < 2; time += 1) {
    const read = await send('/files?limit=0', { key });
    expect([read.status, replayed(read)]).toEqual([200, null]);
  }
});

test("an operator's requests take none", async () => {
  const token = await stack.operatorToken();
  const headers = { 'idempotency-key': newKey() };
  const refused = await http(`${stack.edge}/admin/v1/rpc/suspend_tenant`, { token, headers, body: { id: 't_globex' } });
  expect([refused.status, refused.body]).toMatchObject([400, { code: 'tenant_required' }]);
});

describe("PostgREST's own door", () => {
  test('carries a request out once, too, and keeps no answer', async () => {
    const call = { key: newKey(), body: file('direct'), door: 'postgrest' } as const;
    expect((await send('/files', call)).status).toBe(201);
    const again = await send('/files', call);
    expect([again.status, again.body.code]).toEqual([409, 'idempotency_answer_lost']);
    const elsewhere = await send('/rpc/whoami', { ...call, body: {} });
    expect([elsewhere.status, elsewhere.body.code]).toEqual([200, undefined]);
    const other = await send('/jobs', { ...call, body: { type: 'csv.validate', input: {} } });
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch']);
    expect(await filesNamed('direct')).toBe(1);
  });

  test('refuses the key of a request that came through the edge, and the other way round', async () => {
    for (const doors of [
      ['edge', 'postgrest'],
      ['postgrest', 'edge'],
    ] as const) {
      const call = { key: newKey(), body: file('both') };
      expect((await send('/files', { ...call, door: doors[0] })).status).toBe(201);
      const again = await send('/files', { ...call, door: doors[1] });
      expect([again.status, again.body.code]).toEqual([422, 'idempotency_mismatch']);
    }
    expect(await filesNamed('both')).toBe(2);
  });
});

describe('a key', () => {
  test('is forgotten after 24 hours, and then removed by the worker', async () => {
    const old = { key: newKey(), body: file('daily') };
    const young = { key: newKey(), body: file('hourly') };
    for (const call of [old, young]) expect((await send('/files', call)).status).toBe(201);
    const age = 'update auth.idempotency_keys set claimed_at = now() - $2::interval where key = $1';
    await stack.admin.query(age, [old.key, '24 hours 1 second']);
    await stack.admin.query(age, [young.key, '23 hours 59 minutes']);
    const renewed = await send('/files', old);
    expect([renewed.status, replayed(renewed)]).toEqual([201, null]);
    expect(replayed(await send('/files', old))).toBe('true');
    expect(replayed(await send('/files', young))).toBe('true');

    await stack.admin.query(age, [old.key, '25 hours']);
    const worker = testWorker(stack);
    await worker.start();
    expect(await worker.logged('expired rows removed', '"removed":1')).toBe(true);
    await worker.stop();
    const left = await stack.admin.query('select key from auth.idempotency_keys where key = any ($1)', [
      [old.key, young.key],
    ]);
    expect(left.rows).toEqual([{ key: young.key }]);
  });

  test.each(['edge', 'worker'] as const)('is not for the %s to read, even within the tenant', async (login) => {
    const pool = createPool(stack.database[login], 'test');
    const read = transaction(pool, async (client) => {
      await client.query("select auth.enter(auth.issue_service_token('t_acme', 'probe'))");
      await client.query('select from app.files');
      await client.query('select from auth.idempotency_keys');
    });
    await expect(read.finally(() => pool.end())).rejects.toMatchObject({ code: 'permission_denied' });
  });

  test('is not for a stolen API password to read or write', async () => {
    const pool = createPool(stack.database.authenticator, 'test');
    const attempt = (text: string) =>
      transaction(pool, async (client) => {
        await client.query('select auth.enter($1)', [owner]);
        await client.query('set local role tenant_user');
        await client.query(text);
      });
    try {
      await attempt('select from v1.files');
      for (const text of [
        'select from auth.idempotency_keys',
        "select auth.claim_key('x')",
        "select auth.hold_key('t_globex', 'owner', 'x')",
        "select auth.kept_answer('', '', '')",
        "select auth.keep_answer('', '', '', 200, '{}', '')",
      ]) {
        await expect(attempt(text), text).rejects.toMatchObject({ code: 'permission_denied' });
      }
    } finally {
      await pool.end();
    }
  });
});
