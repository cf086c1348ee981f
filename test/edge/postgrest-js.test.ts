import { PostgrestClient } from '@supabase/postgrest-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';

// @supabase/postgrest-js as it is published, through the edge.

let stack: TestStack;
let client: PostgrestClient;
let other: PostgrestClient;

const as = (token: string) =>
  new PostgrestClient(`${stack.edge}/v1`, { headers: { authorization: `Bearer ${token}` } });
const file = (name: string, size = 1) => ({ name, content_type: 'text/csv', size });

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  client = as(await stack.token({ tenant: 't_acme' }));
  other = as(await stack.token({ tenant: 't_globex' }));
  await other.from('files').insert(file('a.csv')).throwOnError();
  await client
    .from('files')
    .insert([file('a.csv', 10), file('b.csv', 20), file('c & d.csv', 30)])
    .throwOnError();
});

afterAll(() => stack?.stop());

describe('select', () => {
  test('filters, orders and limits', async () => {
    const { data, error, status } = await client
      .from('files')
      .select('name,size')
      .gt('size', 10)
      .order('size', { ascending: false });
    expect([error, status, data]).toEqual([
      null,
      200,
      [
        { name: 'c & d.csv', size: 30 },
        { name: 'b.csv', size: 20 },
      ],
    ]);
    const names = async (query: PromiseLike<{ data: { name: string }[] | null }>) =>
      (await query).data?.map(({ name }) => name);
    const files = () => client.from('files').select('name').order('name');
    expect(await names(files().in('name', ['a.csv', 'c & d.csv']))).toEqual(['a.csv', 'c & d.csv']);
    expect(await names(files().or('name.eq.a.csv,size.eq.20'))).toEqual(['a.csv', 'b.csv']);
    expect(await names(files().like('name', '%&%'))).toEqual(['c & d.csv']);
    expect(await names(files().not('name', 'eq', 'a.csv').limit(1))).toEqual(['b.csv']);
    expect(await names(files().is('sha256', null).range(1, 2))).toEqual(['b.csv', 'c & d.csv']);
  });

  test('counts', async () => {
    const all = await client.from('files').select('name', { count: 'exact' }).order('name').range(0, 0);
    expect([all.status, all.count, all.data]).toEqual([206, 3, [{ name: 'a.csv' }]]);
    const head = await client.from('files').select('*', { count: 'exact', head: true });
    expect([head.status, head.count, head.data]).toEqual([200, 3, null]);
  });

  test('gives one row, or says that there is none', async () => {
    expect((await client.from('files').select('size').eq('name', 'b.csv').single()).data).toEqual({ size: 20 });
    const none = await client.from('files').select('size').eq('name', 'none').maybeSingle();
    expect([none.data, none.error]).toEqual([null, null]);
  });

  test('gives CSV', async () => {
    const { data } = await client.from('files').select('name,size').eq('name', 'a.csv').csv();
    expect(data).toBe('name,size\na.csv,10');
  });

  test('embeds what refers to a row, and what it refers to', async () => {
    const { data: job } = await client
      .from('jobs')
      .insert({ type: 'csv.validate', input: {} })
      .select('id')
      .single()
      .throwOnError();
    await stack.admin.query(
      "insert into app.job_findings (tenant_id, job_id, ordinal, rule, severity, message) values ('t_acme', $1, 1, 'r', 'error', 'm')",
      [job?.id],
    );
    const down = await client.from('jobs').select('type,job_findings(rule,severity)').eq('id', job?.id).single();
    expect(down.data).toEqual({ type: 'csv.validate', job_findings: [{ rule: 'r', severity: 'error' }] });
    const up = await client
      .from('job_findings')
      .select('rule,jobs!inner(type)')
      .eq('jobs.type', 'csv.validate')
      .single();
    expect(up.data).toEqual({ rule: 'r', jobs: { type: 'csv.validate' } });
  });
});

describe('writes', () => {
  test('insert one and many, and show them', async () => {
    const one = await client.from('files').insert(file('w1.csv')).select('name,status').single();
    expect([one.status, one.data]).toEqual([201, { name: 'w1.csv', status: 'pending' }]);
    const many = await client.from('files').insert([file('w2.csv'), file('w3.csv')], { count: 'exact' });
    expect([many.status, many.data, many.count]).toEqual([201, null, 2]);
  });

  test('update what the filter finds', async () => {
    const { status, data } = await client.from('files').update({ name: 'w1b.csv' }).eq('name', 'w1.csv').select('name');
    expect([status, data]).toEqual([200, [{ name: 'w1b.csv' }]]);
    const silent = await client.from('files').update({ name: 'w1.csv' }).eq('name', 'w1b.csv');
    expect([silent.status, silent.data]).toEqual([204, null]);
  });

  test('upsert by key', async () => {
    const upsert = (role: string) =>
      client
        .from('members')
        .upsert({ tenant_id: 't_acme', user_id: 'ada', role }, { onConflict: 'tenant_id,user_id' })
        .select('role')
        .single();
    expect((await upsert('viewer')).data).toEqual({ role: 'viewer' });
    expect((await upsert('admin')).data).toEqual({ role: 'admin' });
    const ignored = await client
      .from('members')
      .upsert(
        { tenant_id: 't_acme', user_id: 'ada', role: 'viewer' },
        { onConflict: 'tenant_id,user_id', ignoreDuplicates: true },
      )
      .select();
    expect(ignored.data).toEqual([]);
  });

  test('delete what the filter finds, and nobody else’s', async () => {
    const { status, data } = await client.from('files').delete().like('name', 'w%').select('name');
    expect([status, data?.length]).toEqual([200, 3]);
    expect((await client.from('files').delete().eq('name', 'a.csv')).status).toBe(204);
    expect((await other.from('files').select('name')).data).toEqual([{ name: 'a.csv' }]);
  });
});

describe('functions', () => {
  test('are called with POST and with GET', async () => {
    const posted = await client.rpc('whoami');
    expect([posted.status, posted.data]).toMatchObject([200, { tenant_id: 't_acme', subject: 'owner' }]);
    const got = await client.rpc('whoami', {}, { get: true });
    expect(got.data).toEqual(posted.data);
  });

  test('take arguments, and raise typed errors', async () => {
    const { data: job } = await client
      .from('jobs')
      .insert({ type: 'csv.validate', input: {} })
      .select('id')
      .single()
      .throwOnError();
    const cancelled = await client.rpc('cancel_job', { id: job?.id });
    expect([cancelled.status, cancelled.error]).toEqual([200, null]);
    const again = await client.rpc('cancel_job', { id: job?.id });
    expect([again.status, again.error?.code]).toEqual([409, 'job_transition']);
  });
});

describe('an error', () => {
  test.each<[string, () => PromiseLike<{ status: number; error: object | null }>, number, object]>([
    ['of no row', () => client.from('files').select().eq('name', 'none').single(), 406, { code: 'PGRST116' }],
    ['of the gate', () => as('a.b.c').from('files').select(), 401, { code: 'token_invalid' }],
    [
      'of a grant',
      () => client.from('files').insert({ ...file('x'), status: 'stored' }),
      403,
      { code: 'permission_denied' },
    ],
    [
      'of a policy',
      () => client.from('files').insert({ ...file('x'), tenant_id: 't_globex' }),
      403,
      { code: 'permission_denied' },
    ],
    [
      'of a value',
      () => client.from('files').select().eq('id', 'x'),
      400,
      { code: 'request_invalid', details: 'invalid input syntax for type uuid: "x"' },
    ],
    ['of a column', () => client.from('files').select('nme'), 400, { code: 'request_invalid' }],
    ['of a relation', () => client.from('nowhere').select(), 404, { code: 'not_found' }],
    ['of a check', () => client.from('files').insert(file('x', -1)), 400, { code: 'request_invalid' }],
    ['of a duplicate', () => client.from('members').insert({ user_id: 'owner' }), 409, { code: 'conflict' }],
    ['of an estimate', () => client.from('files').select('*', { count: 'estimated' }), 400, { code: 'count_inexact' }],
    ['of the edge', () => client.from('files').select().eq('name', '\0'), 400, { code: 'request_invalid' }],
  ])('%s has a status, a code and texts', async (_what, ask, status, expected) => {
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.error).toMatchObject({ message: expect.any(String), ...expected });
    expect(Object.keys(answer.error ?? {})).toEqual(expect.arrayContaining(['code', 'message', 'details', 'hint']));
  });

  test('is thrown where that was asked for', async () => {
    await expect(client.from('files').select('nme').throwOnError()).rejects.toMatchObject({ code: 'request_invalid' });
  });
});

test('headers of the edge go along: an Idempotency-Key', async () => {
  const insert = () =>
    client.from('files').insert(file('key.csv')).setHeader('Idempotency-Key', 'js-1').select('id').single();
  const first = await insert();
  expect(first.status).toBe(201);
  expect((await insert()).data).toEqual(first.data);
});
