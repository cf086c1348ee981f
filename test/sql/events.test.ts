import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What members see of the ledger through the API, as CloudEvents.

let stack: TestStack;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  stack = await createTestStack();
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  for (const role of ['owner', 'admin', 'member', 'viewer'] as const)
    tokens[role] = await stack.token({ tenant: 't_acme', role });
  tokens.globex = await stack.token({ tenant: 't_globex' });
});

afterAll(() => stack?.stop());

interface Row {
  position: number;
  type: string;
  subject: string | null;
  time: string;
  actor: string | null;
  event: { id: string; data: { old: unknown; new: Record<string, unknown>; changed: string[] } } & Record<
    string,
    unknown
  >;
}

const get = async (query: string, who = 'owner') => {
  const { status, body } = await http<Row[]>(`${stack.postgrest}/events?${query}`, { token: tokens[who] ?? '' });
  expect(status).toBe(200);
  return body;
};
const types = async (query: string, who: string) => (await get(query, who)).map(({ type }) => type);

interface Problem {
  code: string;
  id?: string;
  position?: number;
}

const emit = (body: object, who = 'member', headers: Record<string, string> = {}) =>
  http<Problem>(`${stack.postgrest}/rpc/emit_event`, { token: tokens[who] ?? '', body, headers });

async function addFile(name: string, who = 'member', headers: Record<string, string> = {}): Promise<string> {
  const { status, body } = await http<{ id: string }[]>(`${stack.postgrest}/files`, {
    token: tokens[who] ?? '',
    body: { name, content_type: 'text/csv', size: 3 },
    headers: { prefer: 'return=representation', ...headers },
  });
  expect(status).toBe(201);
  return body[0]?.id ?? '';
}

describe('a change', () => {
  test('is a CloudEvent with the row before and after, and what differs', async () => {
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const id = await addFile('a.csv', 'member', { traceparent: `00-${trace}-b7ad6b7169203331-01` });
    const url = `${stack.postgrest}/files?id=eq.${id}`;
    await http(url, { method: 'PATCH', token: tokens.member ?? '', body: { name: 'b.csv' } });
    await http(url, { method: 'DELETE', token: tokens.member ?? '' });

    const [inserted, updated, deleted, ...more] = await get(`subject=eq.${id}&order=position`);
    expect(more).toEqual([]);
    expect(inserted?.event).toEqual({
      specversion: '1.0',
      id: `evt_${inserted?.position}`,
      source: '/tenants/t_acme',
      type: 'app.files.inserted',
      subject: id,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/),
      datacontenttype: 'application/json',
      dataschema: 'rowhouse:/v1/event-types/app.files.inserted/1',
      tenantid: 't_acme',
      actorid: 'member',
      traceparent: `00-${trace}-${(inserted?.position ?? 0).toString(16).padStart(16, '0')}-01`,
      data: { old: null, new: expect.objectContaining({ id, name: 'a.csv', status: 'pending' }), changed: null },
    });
    expect(updated).toMatchObject({ type: 'app.files.updated', subject: id, actor: 'member' });
    expect(updated?.event.data).toMatchObject({ old: { name: 'a.csv' }, new: { name: 'b.csv' } });
    expect(updated?.event.data.changed.toSorted()).toEqual(['name', 'updated_at']);
    expect(updated?.event).not.toHaveProperty('traceparent');
    expect(deleted?.event.data).toMatchObject({ old: { name: 'b.csv' }, new: null, changed: null });
  });

  test('is seen by its tenant alone', async () => {
    const id = await addFile('acme.csv');
    expect(await get(`subject=eq.${id}`)).toHaveLength(1);
    expect(await get(`subject=eq.${id}`, 'globex')).toEqual([]);
    expect((await get('select=event')).every(({ event }) => event.tenantid === 't_acme')).toBe(true);
  });

  test('that was rolled back is none', async () => {
    const before = await get('order=position.desc&limit=1');
    const { status } = await http(`${stack.postgrest}/files`, {
      token: tokens.member ?? '',
      body: [
        { name: 'good.csv', content_type: 'text/csv', size: 1 },
        { name: 'bad/name', content_type: 'text/csv', size: 1 },
      ],
    });
    expect(status).toBe(400);
    expect(await get('order=position.desc&limit=1')).toEqual(before);
  });

  test('of what only admins may read is seen by admins alone', async () => {
    const made = await http(`${stack.postgrest}/rpc/create_api_key`, {
      token: tokens.owner ?? '',
      body: { name: 'ci' },
    });
    expect(made.status).toBe(200);
    const keys = 'type=eq.auth.api_keys.inserted';
    expect(await types(keys, 'owner')).toEqual(['auth.api_keys.inserted']);
    expect(await types(keys, 'admin')).toEqual(['auth.api_keys.inserted']);
    expect(await types(keys, 'member')).toEqual([]);
    expect(await types(keys, 'viewer')).toEqual([]);
    expect(await types('type=eq.app.files.inserted&limit=1', 'viewer')).toEqual(['app.files.inserted']);
  });

  test('of a table that clients cannot reach is no event, and neither is its token, address or program anybody’s to read', async () => {
    await stack.migrator.query(
      `insert into tenancy.tenant_settings (tenant_id, cache_enabled) values ('t_acme', false)`,
    );
    const { rows } = await stack.admin.query(
      `select count(*)::int as n from ledger.entries where tenant_id = 't_acme' and table_name = 'tenancy.tenant_settings'`,
    );
    expect(rows).toEqual([{ n: 1 }]);
    expect((await get('')).filter(({ type }) => type.startsWith('tenancy.tenant_settings'))).toEqual([]);
    const granted = await stack.admin.query(
      `select attname from pg_attribute where attrelid = 'ledger.entries'::regclass and attnum > 0
         and not has_column_privilege('tenant_user', attrelid, attnum, 'select') order by attname`,
    );
    expect(granted.rows.map(({ attname }) => attname)).toEqual(
      expect.arrayContaining(['address', 'request_id', 'role', 'token_id', 'user_agent']),
    );
  });
});

describe('pages', () => {
  test('follow one another by position, without a gap or a repetition', async () => {
    for (let file = 0; file < 7; file += 1) await addFile(`page ${file}.csv`);
    const all = (await get('order=position.desc')).map(({ position }) => position);
    const paged: number[] = [];
    for (let last = Number.MAX_SAFE_INTEGER; ; last = paged.at(-1) ?? 0) {
      const page = await get(`order=position.desc&limit=3&position=lt.${last}`);
      if (page.length === 0) break;
      paged.push(...page.map(({ position }) => position));
    }
    expect(paged).toEqual(all);
    expect(paged).toEqual(paged.toSorted((a, b) => b - a));
  });

  test('are filtered by type, subject and time', async () => {
    const id = await addFile('filtered.csv');
    const [{ time } = { time: '' }] = await get(`subject=eq.${id}`);
    const since = `time=gte.${encodeURIComponent(time)}&order=time.desc`;
    expect((await get(since)).map(({ subject }) => subject)).toContain(id);
    expect(
      (await get(`time=lt.${encodeURIComponent(time)}&order=time.desc`)).map(({ subject }) => subject),
    ).not.toContain(id);
    expect(new Set(await types('type=eq.app.files.inserted', 'owner'))).toEqual(new Set(['app.files.inserted']));
    expect(await get('type=eq.app.files.exploded')).toEqual([]);
  });
});

describe('an emitted event', () => {
  test('is an event like any other, with the data as it was given', async () => {
    const emitted = await emit({ type: 'order.Paid_2', subject: 'order 7', data: { total: 12.5, lines: [null, 'x'] } });
    expect(emitted.status).toBe(200);
    const [row] = await get(`position=eq.${emitted.body.position}`, 'viewer');
    expect(row).toMatchObject({ type: 'order.Paid_2', subject: 'order 7', actor: 'member' });
    expect(row?.event).toMatchObject({
      id: emitted.body.id,
      type: 'order.Paid_2',
      data: { total: 12.5, lines: [null, 'x'] },
    });
    expect(row?.event).not.toHaveProperty('dataschema');
    expect(await get(`position=eq.${emitted.body.position}`, 'globex')).toEqual([]);
  });

  test('needs neither subject nor data', async () => {
    const { body } = await emit({ type: 'tick' });
    const [row] = await get(`position=eq.${body.position}`);
    expect(row).toMatchObject({ type: 'tick', subject: null, event: { data: null } });
    expect(row?.event).not.toHaveProperty('subject');
  });

  test.each([
    ['a viewer’s', 'viewer', { type: 'order.paid' }, 403, 'role_insufficient'],
    ['one without a type', 'member', { type: null }, 422, 'event_invalid'],
    ['an empty type', 'member', { type: '' }, 422, 'event_invalid'],
    ['a type with spaces', 'member', { type: 'order paid' }, 422, 'event_invalid'],
    ['a type with an empty word', 'member', { type: 'order..paid' }, 422, 'event_invalid'],
    ['a type with a line after it', 'member', { type: 'order.paid\nx' }, 422, 'event_invalid'],
    ['a type of 101 characters', 'member', { type: 'x'.repeat(101) }, 422, 'event_invalid'],
    ['a table’s type', 'member', { type: 'app.jobs.inserted' }, 422, 'event_invalid'],
    ['a schema’s, in capitals', 'member', { type: 'App.jobs' }, 422, 'event_invalid'],
    ['PostgreSQL’s', 'member', { type: 'pg_catalog.pg_class' }, 422, 'event_invalid'],
    ['the system’s', 'member', { type: 'webhook.endpoint.disabled' }, 422, 'event_invalid'],
    ['an empty subject', 'member', { type: 'order.paid', subject: '' }, 422, 'event_invalid'],
    ['a subject of 256 characters', 'member', { type: 'order.paid', subject: 'x'.repeat(256) }, 422, 'event_invalid'],
    ['a subject with a line break', 'member', { type: 'order.paid', subject: 'a\nb' }, 422, 'event_invalid'],
    ['65,537 bytes of data', 'member', { type: 'order.paid', data: 'x'.repeat(65_535) }, 413, 'event_too_large'],
  ])('is refused: %s', async (_, who, body, status, code) => {
    const before = await get('order=position.desc&limit=1');
    const refused = await emit(body, who);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
    expect(await get('order=position.desc&limit=1')).toEqual(before);
  });

  test('may have 65,536 bytes of data', async () => {
    expect((await emit({ type: 'order.paid', data: 'x'.repeat(65_534) })).status).toBe(200);
  });

  test('of a declared type has its schema, and is seen by the roles it was declared for', async () => {
    await stack.migrator.query(
      `select ledger.declare_event_type('secret.told', 'A secret', '{"type": "string"}', 'admin')`,
    );
    const { body } = await emit({ type: 'secret.told', data: 'psst' });
    const [row] = await get(`position=eq.${body.position}`, 'admin');
    expect(row?.event).toMatchObject({ dataschema: 'rowhouse:/v1/event-types/secret.told/1', data: 'psst' });
    expect(await get(`position=eq.${body.position}`, 'member')).toEqual([]);
  });
});

describe('a table of the user’s', () => {
  const makeNotes = `
    create table app.diaries (
      tenant_id tenancy.tenant_id not null, id integer not null, title text, secret text,
      constraint diaries_pkey primary key (tenant_id, id)) partition by hash (tenant_id);
    select tenancy.protect('app.diaries', partitions => 2, expose => true)`;
  const insert = (id: number) =>
    stack.admin.query(`insert into app.diaries values ('t_acme', $1, 'title', 'hidden')`, [id]);
  const latest = async (id: number, who: string) =>
    (await get(`type=like.app.diaries.*&subject=eq.${id}`, who)).at(0)?.event;

  test('makes events as soon as it is protected', async () => {
    await stack.migrator.query(makeNotes);
    await insert(1);
    expect((await latest(1, 'viewer'))?.data.new).toEqual({
      tenant_id: 't_acme',
      id: 1,
      title: 'title',
      secret: 'hidden',
    });
  });

  test('shows no column that its view no longer has, in no event, and says so with another version', async () => {
    await stack.migrator.query(`
      drop view v1.diaries;
      create view v1.diaries with (security_invoker = true) as select tenant_id, id, title from app.diaries;
      grant select on v1.diaries to tenant_user;
      select ledger.add_event_source('app.diaries', 'v1.diaries')`);
    await stack.admin.query(`update app.diaries set secret = 'other', title = 'new title' where id = 1`);
    const events = await get('type=like.app.diaries.*&order=position', 'owner');
    expect(events.map(({ event }) => [event.type, event.data, event.dataschema])).toEqual([
      [
        'app.diaries.inserted',
        { old: null, new: { tenant_id: 't_acme', id: 1, title: 'title' }, changed: null },
        'rowhouse:/v1/event-types/app.diaries.inserted/2',
      ],
      [
        'app.diaries.updated',
        {
          old: { tenant_id: 't_acme', id: 1, title: 'title' },
          new: { tenant_id: 't_acme', id: 1, title: 'new title' },
          changed: ['title'],
        },
        'rowhouse:/v1/event-types/app.diaries.updated/2',
      ],
    ]);
    expect(JSON.stringify(events)).not.toMatch(/hidden|other|secret/);
  });

  test('shows no column that clients may not read in its view', async () => {
    await stack.migrator.query(`
      revoke select on v1.diaries from tenant_user;
      grant select (tenant_id, id) on v1.diaries to tenant_user;
      select ledger.add_event_source('app.diaries', 'v1.diaries')`);
    await insert(2);
    expect((await latest(2, 'owner'))?.data.new).toEqual({ tenant_id: 't_acme', id: 2 });
  });

  test('with a policy that keeps rows from some makes events for owners alone, from then on and of before', async () => {
    expect(await latest(2, 'admin')).toBeDefined();
    await stack.migrator.query(
      `create policy "Only of even ids" on app.diaries as restrictive for select to tenant_user using (id % 2 = 0)`,
    );
    expect(await latest(2, 'admin')).toBeUndefined();
    expect(await latest(2, 'owner')).toBeDefined();
    await stack.migrator.query(`drop policy "Only of even ids" on app.diaries`);
  });
});

describe('the types of events', () => {
  interface EventType {
    type: string;
    version: number;
    description: string;
    schema: Record<string, unknown>;
  }
  const listed = async (query: string, who = 'viewer') =>
    (await http<EventType[]>(`${stack.postgrest}/event_types?${query}`, { token: tokens[who] ?? '' })).body;

  test('have a JSON Schema that their events fit', async () => {
    await addFile('schema.csv');
    const events = await get('type=like.app.files.*');
    expect(events.length).toBeGreaterThan(3);
    for (const { event } of events) {
      const [, type, version] = /^rowhouse:\/v1\/event-types\/(.*)\/(\d+)$/.exec(String(event.dataschema)) ?? [];
      const [found] = await listed(`type=eq.${type}&version=eq.${version}`);
      const schema = z.fromJSONSchema(found?.schema as Parameters<typeof z.fromJSONSchema>[0]);
      expect(schema.safeParse(event.data)).toMatchObject({ success: true });
      expect(schema.safeParse({ ...event.data, old: 7 }).success).toBe(false);
    }
  });

  test('say what each column is, as the API’s documentation does', async () => {
    const [{ schema } = { schema: {} }] = await listed('type=eq.app.jobs.inserted');
    expect(schema).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'rowhouse:/v1/event-types/app.jobs.inserted/1',
      properties: {
        old: { type: 'null' },
        new: {
          properties: {
            id: { type: 'string', format: 'uuid' },
            attempts: { type: 'integer', description: 'How many times a worker has started it.' },
            error: {},
            started_at: { type: ['string', 'null'], format: 'date-time' },
          },
        },
      },
    });
  });

  test('keep the schemas of their earlier versions', async () => {
    const versions = await listed('type=eq.app.diaries.updated&order=version');
    expect(versions.map(({ version }) => version)).toEqual([1, 2, 3]);
    const columns = versions.map(({ schema }) =>
      Object.keys((schema as { properties: { new: { properties: object } } }).properties.new.properties).toSorted(),
    );
    expect(columns).toEqual([
      ['id', 'secret', 'tenant_id', 'title'],
      ['id', 'tenant_id', 'title'],
      ['id', 'tenant_id'],
    ]);
  });

  test('have the version they had when a column is added, and list every table that clients read', async () => {
    await stack.migrator.query(`
      drop view v1.diaries;
      alter table app.diaries add column mood text;
      select tenancy.protect('app.diaries', expose => true);
      drop view v1.diaries cascade;
      alter table app.diaries add column weather text;
      select tenancy.protect('app.diaries', expose => true)`);
    const versions = (await listed('type=eq.app.diaries.deleted&order=version')).map(({ version }) => version);
    expect(versions).toEqual([1, 2, 3]);
    const names = new Set((await listed('')).map(({ type }) => type.replace(/\.\w+$/, '')));
    for (const table of ['app.files', 'app.jobs', 'auth.api_keys', 'tenancy.members', 'tenancy.tenants']) {
      expect(names).toContain(table);
    }
  });
});
