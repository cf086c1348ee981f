import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type OpenStream, openStream, problemOf } from './sse.ts';

// An open stream is worth what its member is worth now.

let stack: TestStack;
let made = 0;
const open: OpenStream[] = [];

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(token: string, query = ''): Promise<OpenStream> {
  const stream = await openStream(stack.edge, { token, query });
  open.push(stream);
  return stream;
}

async function newTenant(): Promise<string> {
  const id = `t_stream_${++made}`;
  await stack.createTenant(id);
  return id;
}

const insert = (tenant: string, name: string) =>
  `insert into app.files (tenant_id, kind, name, content_type, size, created_by)
   values ('${tenant}', 'upload', '${name}', 'text/csv', 1, 'test')`;
const names = (stream: OpenStream) =>
  stream.events.filter(({ event }) => event === 'app.files.inserted').map(({ data }) => data.data.new?.name);

/** Does it, and waits until the stream was ended: within a second. */
async function endsWithin(stream: OpenStream, change: () => Promise<unknown>): Promise<string | undefined> {
  expect([stream.status, stream.reason()]).toEqual([200, undefined]);
  await change();
  const since = performance.now();
  expect(await stream.ended).toBe('ended');
  expect(performance.now() - since).toBeLessThan(1000);
  return stream.reason()?.code;
}

describe('a stream ends', () => {
  test('with its token', async () => {
    const tenant = await newTenant();
    const longer = await listen(await stack.token({ tenant }));
    const stream = await listen(await stack.token({ tenant, ttl: '2 seconds' }));
    expect(await stream.ended).toBe('ended');
    expect(stream.reason()).toMatchObject({ code: 'token_expired', status: 401 });
    await stack.admin.query(insert(tenant, 'after'));
    await longer.take(1);
    expect([names(longer), names(stream)]).toEqual([['after'], []]);
  });

  test('when the tenant is suspended, and is served again when that is over; other tenants notice nothing', async () => {
    const [tenant, other] = [await newTenant(), await newTenant()];
    const token = await stack.token({ tenant });
    const [stream, unconcerned] = [await listen(token), await listen(await stack.token({ tenant: other }))];
    const suspend = () => stack.migrator.query('select tenancy.suspend_tenant($1)', [tenant]);
    expect(await endsWithin(stream, suspend)).toBe('tenant_suspended');
    expect(problemOf(await listen(token))).toMatchObject({ status: 403, code: 'tenant_suspended' });
    await stack.migrator.query('select tenancy.resume_tenant($1)', [tenant]);
    const again = await listen(token);
    await stack.admin.query(insert(tenant, 'again'));
    await stack.admin.query(insert(other, 'other'));
    await Promise.all([again.take(1), unconcerned.take(1)]);
    expect([names(again), names(unconcerned)]).toEqual([['again'], ['other']]);
  });

  test('when the tenant is deleted', async () => {
    const tenant = await newTenant();
    const stream = await listen(await stack.token({ tenant }));
    const remove = () => stack.admin.query(`delete from tenancy.tenants where id = $1`, [tenant]);
    expect(await endsWithin(stream, remove)).toMatch(/^(tenant_unknown|membership_required)$/);
  });

  test('when the member is removed, who gets nothing that is committed with it; others stay', async () => {
    const tenant = await newTenant();
    const leaver = await listen(await stack.token({ tenant, role: 'member' }));
    const stayer = await listen(await stack.token({ tenant, role: 'member', user: 'admin' }));
    await stack.admin.query(insert(tenant, 'before'));
    await Promise.all([leaver.take(1), stayer.take(1)]);
    const remove = () =>
      connected(stack.database.admin, async (client) => {
        await client.query('begin');
        await client.query(`delete from tenancy.members where tenant_id = $1 and user_id = 'member'`, [tenant]);
        await client.query(insert(tenant, 'with it'));
        await client.query('commit');
        await client.query(insert(tenant, 'after it'));
      });
    expect(await endsWithin(leaver, remove)).toBe('membership_required');
    await expect.poll(() => names(stayer)).toEqual(['before', 'with it', 'after it']);
    expect(names(leaver)).toEqual(['before']);
  });

  test('of whoever is removed without what is committed with the removal, in the middle of many events', async () => {
    const tenant = await newTenant();
    const stayer = await listen(await stack.token({ tenant, role: 'member' }));
    const leavers = await Promise.all(
      Array.from({ length: 30 }, async (_, nth) => {
        await stack.addMember(tenant, `leaver${nth}`, 'member');
        return listen(await stack.token({ tenant, role: 'member', user: `leaver${nth}` }));
      }),
    );
    let writing = true;
    // So that a read is nearly always under way.
    const writer = connected(stack.database.admin, async (client) => {
      for (let nth = 0; writing; nth++) await client.query(insert(tenant, `filling${nth}`));
    });
    for (const [nth, leaver] of leavers.entries()) {
      await leaver.take(1);
      await stack.admin.query(
        `with gone as (delete from tenancy.members where tenant_id = '${tenant}' and user_id = 'leaver${nth}' returning 1)
         ${insert(tenant, `gone${nth}`)}`,
      );
      expect(await leaver.ended).toBe('ended');
    }
    writing = false;
    await writer;
    await expect.poll(() => names(stayer)).toContain('gone29');
    for (const [nth, leaver] of leavers.entries()) {
      expect(leaver.reason()?.code).toBe('membership_required');
      expect(names(leaver)).not.toContain(`gone${nth}`);
    }
  });

  test('when its API key is revoked', async () => {
    const tenant = await newTenant();
    const owner = await stack.token({ tenant });
    const rpc = (name: string, body: object) =>
      http<{ id: string; key: string }>(`${stack.postgrest}/rpc/${name}`, { token: owner, body });
    const { body } = await rpc('create_api_key', { name: 'listener', scopes: ['read'] });
    const stream = await listen(body.key);
    await stack.admin.query(insert(tenant, 'seen'));
    await stream.take(1);
    expect(await endsWithin(stream, () => rpc('revoke_api_key', { id: body.id }))).toBe('api_key_invalid');
  });

  test('when the signing key is retired', async () => {
    const tenant = await newTenant();
    const token = await stack.token({ tenant });
    const { kid } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
    const stream = await listen(token);
    const retire = async () => {
      await stack.migrator.query('select auth.rotate_signing_key()');
      await stack.migrator.query('select auth.retire_signing_key($1)', [kid]);
    };
    expect(await endsWithin(stream, retire)).toBe('token_invalid');
  });

  test('when its role is narrowed, and can be opened again with less', async () => {
    const tenant = await newTenant();
    await stack.migrator.query(`select ledger.declare_event_type('audit.secret', 'For admins', '{}', 'admin')`);
    const emit = (name: string) =>
      stack.migrator.query('select ledger.append_event($1, $2, $3, $4)', [tenant, 'audit.secret', name, {}]);
    const subjects = (stream: OpenStream) =>
      stream.events.filter(({ event }) => event === 'audit.secret').map(({ data }) => data.subject);
    const token = await stack.token({ tenant, role: 'admin' });
    const admin = await listen(token);
    await emit('first');
    await admin.take(1);
    const narrow = () =>
      connected(stack.database.admin, async (client) => {
        await client.query('begin');
        await client.query(`update tenancy.members set role = 'member' where tenant_id = $1 and user_id = 'admin'`, [
          tenant,
        ]);
        await client.query('commit');
        await emit('second');
      });
    expect(await endsWithin(admin, narrow)).toBe('role_insufficient');
    expect(subjects(admin)).toEqual(['first']);
    const again = await listen(token, '?last_event_id=evt_0');
    await stack.admin.query(insert(tenant, 'for all'));
    await expect.poll(() => names(again)).toEqual(['for all']);
    expect(subjects(again)).toEqual([]);
  });
});

test('streams that are opened while members come and go are all served', async () => {
  const tenant = await newTenant();
  const token = await stack.token({ tenant });
  const streams: OpenStream[] = [];
  for (let round = 0; round < 8; round++) {
    const opening = Array.from({ length: 8 }, () => listen(token));
    await Promise.all([...opening, stack.addMember(tenant, `new${round}`, 'viewer')]);
    streams.push(...(await Promise.all(opening)));
  }
  await stack.admin.query(insert(tenant, 'for all'));
  await expect
    .poll(() => streams.filter((stream) => names(stream).length === 1).length, { timeout: 5000 })
    .toBe(streams.length);
});

describe('members of different roles', () => {
  test('see of one tenant what each may see, and no more when they resume', async () => {
    const tenant = await newTenant();
    await stack.migrator.query(`select ledger.declare_event_type('audit.secret', 'For admins', '{}', 'admin')`);
    const tokens = await Promise.all(
      (['viewer', 'member', 'admin', 'owner'] as const).map((role) => stack.token({ tenant, role })),
    );
    const live = await Promise.all(tokens.map((token) => listen(token)));
    for (const nth of [1, 2, 3]) {
      await stack.migrator.query('select ledger.append_event($1, $2, $3, $4)', [tenant, 'audit.secret', `s${nth}`, {}]);
      await stack.admin.query(insert(tenant, `f${nth}`));
    }
    const resumed = await Promise.all(
      tokens.map((token) => listen(token, '?last_event_id=evt_0&types=app.files.*,audit.*')),
    );
    for (const streams of [live, resumed]) {
      for (const [rank, stream] of streams.entries()) {
        const expected = rank < 2 ? ['f1', 'f2', 'f3'] : ['s1', 'f1', 's2', 'f2', 's3', 'f3'];
        const seen = await stream.take(expected.length);
        expect(seen.map(({ data }) => (data.type === 'audit.secret' ? data.subject : data.data.new?.name))).toEqual(
          expected,
        );
        expect(stream.events).toHaveLength(expected.length);
      }
    }
  });

  test('see more when they are given a higher role, on the same stream', async () => {
    const tenant = await newTenant();
    await stack.migrator.query(`select ledger.declare_event_type('audit.secret', 'For admins', '{}', 'admin')`);
    await stack.admin.query(`update tenancy.members set role = 'viewer' where tenant_id = $1 and user_id = 'admin'`, [
      tenant,
    ]);
    const stream = await listen(await stack.token({ tenant, role: 'admin' }), '?types=audit.*');
    const emit = (name: string) =>
      stack.migrator.query('select ledger.append_event($1, $2, $3, $4)', [tenant, 'audit.secret', name, {}]);
    await emit('before');
    await stack.admin.query(`update tenancy.members set role = 'admin' where tenant_id = $1 and user_id = 'admin'`, [
      tenant,
    ]);
    await expect
      .poll(
        async () => {
          await emit('after');
          return stream.events.length;
        },
        { timeout: 5000 },
      )
      .toBeGreaterThan(0);
    expect(stream.events[0]?.data.subject).toMatch(/^(before|after)$/);
    expect(stream.reason()).toBeUndefined();
  });
});
