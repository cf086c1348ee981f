import { brotliDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendTo } from './raw-http.ts';

// An event's `dataschema` is a path of the API: whoever may read the event can read what its data looks like.

type Json = Record<string, unknown>;
interface Row {
  event: { type: string; dataschema?: string; data: Json };
}

let stack: TestStack;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  tokens.acme = await stack.token({ tenant: 't_acme', role: 'member' });
  tokens.globex = await stack.token({ tenant: 't_globex', role: 'viewer' });
  await stack.migrator.query(`
    create table app.notes (tenant_id tenancy.tenant_id, id bigint, title text, primary key (tenant_id, id)) partition by hash (tenant_id);
    select tenancy.protect('app.notes', expose => true);
    select ledger.declare_event_type('order.paid', 'An order was paid',
      '{"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}');
    create table app."Odd ""é" (tenant_id tenancy.tenant_id, id bigint, primary key (tenant_id, id)) partition by hash (tenant_id);
    select tenancy.protect('app."Odd ""é"', expose => true);
    notify pgrst, 'reload schema'`);
});

afterAll(() => stack?.stop());

const read = (path: string, headers: Record<string, string> = {}, token = tokens.acme) =>
  http<Json>(`${stack.edge}${path}`, { headers, ...(token ? { token } : {}) });

async function emit(type: string, data: unknown): Promise<Row['event']> {
  const emitted = await http<{ position: number }>(`${stack.edge}/v1/rpc/emit_event`, {
    token: tokens.acme as string,
    body: { type, data },
  });
  const { body } = await http<Row[]>(`${stack.edge}/v1/events?position=eq.${emitted.body.position}`, {
    token: tokens.acme as string,
  });
  return (body[0] as Row).event;
}

describe("an event's dataschema", () => {
  test('is a JSON Schema that its data fits', async () => {
    const { dataschema, data } = await emit('order.paid', { total: 12.5 });
    expect(dataschema).toBe('rowhouse:/v1/event-types/order.paid/1');
    const { status, headers, body } = await read(new URL(dataschema as string).pathname);
    expect([status, headers.get('content-type')]).toEqual([200, 'application/schema+json']);
    expect(body).toMatchObject({ $schema: 'https://json-schema.org/draft/2020-12/schema', $id: dataschema });
    const schema = z.fromJSONSchema(body as Parameters<typeof z.fromJSONSchema>[0]);
    expect([schema.safeParse(data).success, schema.safeParse({ total: 'much' }).success]).toEqual([true, false]);
  });

  test('is the same for every tenant, and what event_types lists', async () => {
    const listed = await http<{ schema: Json }[]>(
      `${stack.edge}/v1/event_types?type=eq.app.notes.updated&select=schema`,
      { token: tokens.acme as string },
    );
    for (const token of [tokens.acme, tokens.globex]) {
      expect((await read('/v1/event-types/app.notes.updated/1', {}, token)).body).toEqual(listed.body[0]?.schema);
    }
  });

  test('stays what it was when a later version lacks a column', async () => {
    const first = await read('/v1/event-types/app.notes.inserted/1');
    expect(first.body).toHaveProperty('properties.new.properties.title');
    await stack.migrator.query(`
      revoke select on v1.notes from tenant_user;
      grant select (tenant_id, id) on v1.notes to tenant_user;
      select ledger.add_event_source('app.notes', 'v1.notes')`);
    expect((await read('/v1/event-types/app.notes.inserted/2')).body).not.toHaveProperty(
      'properties.new.properties.title',
    );
    expect((await read('/v1/event-types/app.notes.inserted/1')).body).toEqual(first.body);
  });

  test('is found by a name that has to be escaped', async () => {
    const { rows } = await stack.migrator.query<{ name: string }>(
      `select name from ledger.event_sources where relation = 'app."Odd ""é"'::regclass`,
    );
    const { status, body } = await read(`/v1/event-types/${encodeURIComponent(`${rows[0]?.name}.deleted`)}/1`);
    expect([status, body.$id]).toEqual([200, `rowhouse:/v1/event-types/${rows[0]?.name}.deleted/1`]);
  });
});

describe('a schema', () => {
  const PATH = '/v1/event-types/app.jobs.updated/1';

  test('may be kept for five minutes by its reader, who is then told whether it has changed', async () => {
    const { headers } = await read(PATH);
    expect(headers.get('cache-control')).toBe('private, max-age=300');
    expect(headers.get('vary')).toMatch(/^Accept-Encoding, Authorization, Origin/);
    const tag = headers.get('etag')?.replace('W/', '') as string;
    for (const known of [tag, `"other", W/${tag}`, '*']) {
      const again = await read(PATH, { 'if-none-match': known });
      expect([again.status, again.body, again.headers.get('etag')]).toEqual([304, null, tag]);
    }
    expect((await read(PATH, { 'if-none-match': '"other"' })).status).toBe(200);
    expect((await read('/v1/event-types/app.jobs.deleted/1', { 'if-none-match': tag })).status).toBe(200);
  });

  test('is told apart from one that has a column more', async () => {
    const path = '/v1/event-types/app.notes.deleted/2';
    const before = await read(path);
    await stack.migrator.query(`
      grant select (title) on v1.notes to tenant_user;
      select ledger.add_event_source('app.notes', 'v1.notes')`);
    const after = await read(path, { 'if-none-match': before.headers.get('etag') as string });
    expect([before.status, after.status]).toEqual([200, 200]);
    expect(after.body).toHaveProperty('properties.old.properties.title');
  });

  test('has a head, and is packed for whoever asks', async () => {
    const headers = { authorization: `Bearer ${tokens.acme}` };
    const plain = await sendTo(stack.edge, { path: PATH, headers });
    const head = await sendTo(stack.edge, { method: 'HEAD', path: PATH, headers });
    expect([head.status, head.body, head.headers.etag]).toEqual([200, '', plain.headers.etag]);
    const packed = await sendTo(stack.edge, { path: PATH, headers: { ...headers, 'accept-encoding': 'br' } });
    expect([packed.headers['content-encoding'], packed.headers.etag]).toEqual(['br', `W/${plain.headers.etag}`]);
    expect(brotliDecompressSync(packed.bytes).equals(plain.bytes)).toBe(true);
  });

  test('is shown to pages that the tenant allows', async () => {
    await stack.migrator.query(`
      insert into tenancy.tenant_settings (tenant_id, cors_origins) values ('t_acme', '{https://app.example.com}')
      on conflict (tenant_id) do update set cors_origins = excluded.cors_origins`);
    const asked = { origin: 'https://app.example.com' };
    await expect
      .poll(async () => (await read(PATH, asked)).headers.get('access-control-allow-origin'))
      .toBe('https://app.example.com');
    const other = await read(PATH, asked, tokens.globex);
    expect([other.status, other.headers.get('access-control-allow-origin')]).toEqual([200, null]);
  });
});

describe('refuses', () => {
  test.each([
    ['a type that there is not', '/v1/event-types/app.nothing.inserted/1'],
    ['a version that there is not', '/v1/event-types/app.jobs.updated/99'],
    ['what is emitted without having been declared', '/v1/event-types/custom.thing/1'],
    ['a type without a version', '/v1/event-types/app.jobs.updated'],
    ['a version with a nought before it', '/v1/event-types/app.jobs.updated/01'],
    ['a version that is no integer of PostgreSQL', '/v1/event-types/app.jobs.updated/99999999999'],
    ['a type that would be a filter', '/v1/event-types/app.jobs.updated&or=(version.gt.0)/1'],
    ['no type at all', '/v1/event-types/'],
  ])('%s', async (_what, path) => {
    const { status, headers, body } = await read(path);
    expect([status, body.code]).toEqual([404, 'event_type_unknown']);
    expect(body.hint).toMatch(/event_types/);
    expect([headers.get('content-type'), headers.get('cache-control'), headers.get('etag')]).toEqual([
      'application/problem+json',
      'private, no-cache',
      null,
    ]);
  });

  test('whoever has no token, or none for this tenant, whatever they ask for', async () => {
    for (const path of ['/v1/event-types/app.jobs.updated/1', '/v1/event-types/x']) {
      const { status, body } = await read(path, {}, '');
      expect([status, body.code]).toEqual([401, 'token_required']);
    }
    const path = '/v1/event-types/app.jobs.updated/1';
    expect(await read(path, {}, await stack.token({ tenant: 't_acme', user: 'stranger' }))).toMatchObject({
      status: 403,
      body: { code: 'membership_required' },
    });
    expect(await read(path, { 'x-tenant-id': 't_globex' })).toMatchObject({
      status: 403,
      body: { code: 'tenant_mismatch' },
    });
  });
});
