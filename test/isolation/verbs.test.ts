import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { addNotes } from './notes.ts';

// Every verb of the API, from two tenants, through both doors. Each probe works for the rightful owner first.

let stack: TestStack;
let acme: string;
let globex: string;
let acmeNote: string;
let globexNote: string;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
  globex = await stack.token({ tenant: 't_globex', user: 'owner', role: 'owner' });
  await addNotes(stack);
  // Only the new schema cache knows of the relation between the two.
  await vi.waitUntil(async () => (await as(acme).get('direct', '/notes?select=id,comments(id)')).status === 200, {
    timeout: 10_000,
    interval: 50,
  });
});

afterAll(() => stack?.stop());

type Door = 'direct' | 'edge';

function as(token: string) {
  const send = async (
    method: string,
    door: Door,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ) => {
    const base = door === 'direct' ? stack.postgrest : `${stack.edge}/v1`;
    const response = await http(`${base}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    return { status: response.status, body: response.body, range: response.headers.get('content-range') };
  };
  return {
    get: (door: Door, path: string, headers?: Record<string, string>) => send('GET', door, path, undefined, headers),
    head: (door: Door, path: string, headers?: Record<string, string>) => send('HEAD', door, path, undefined, headers),
    post: (door: Door, path: string, body: unknown, headers?: Record<string, string>) =>
      send('POST', door, path, body, headers),
    patch: (door: Door, path: string, body: unknown, headers?: Record<string, string>) =>
      send('PATCH', door, path, body, headers),
    delete: (door: Door, path: string, headers?: Record<string, string>) =>
      send('DELETE', door, path, undefined, headers),
  };
}

const returning = { prefer: 'return=representation' };
const merging = { prefer: 'resolution=merge-duplicates,return=representation' };
/** What the edge adds to an error body is asserted in test/api; here the members that both doors have. */
const error = (code: string, message: string) => expect.objectContaining({ code, message });
const rowSecurity = (door: Door, table: string) =>
  door === 'direct'
    ? error('42501', `new row violates row-level security policy for table "${table}"`)
    : expect.objectContaining({ code: 'permission_denied' });

beforeEach(async () => {
  await as(acme).delete('direct', '/notes?id=not.is.null');
  await as(globex).delete('direct', '/notes?id=not.is.null');
  const create = async (token: string, title: string) => {
    const { body } = await as(token).post('direct', '/notes', { title, body: 'secret' }, returning);
    const id = (body as { id: string }[])[0]?.id as string;
    await as(token).post('direct', '/comments', { note_id: id, text: `about ${title}` });
    return id;
  };
  acmeNote = await create(acme, 'plan');
  globexNote = await create(globex, 'plot');
});

describe.each<Door>(['direct', 'edge'])('through the %s door, a tenant', (door) => {
  test('selects its own rows and none of another', async () => {
    expect(await as(acme).get(door, '/notes?select=tenant_id,title')).toMatchObject({
      status: 200,
      body: [{ tenant_id: 't_acme', title: 'plan' }],
    });
    expect(await as(globex).get(door, '/notes?select=tenant_id,title')).toMatchObject({
      status: 200,
      body: [{ tenant_id: 't_globex', title: 'plot' }],
    });
  });

  test.each([
    'id=eq.{id}',
    'tenant_id=eq.t_acme',
    'title=eq.plan',
    'title=like.pl*n',
    'title=imatch.^PLAN$',
    'or=(title.eq.plan,title.eq.x)',
    'body=fts.secret',
    'id=in.({id})',
    'order=title&title=gte.plan&title=lt.plao',
  ])('filters its own rows by %s and none of another', async (filter) => {
    const path = `/notes?select=title&${filter.replace('{id}', acmeNote)}`;
    expect(await as(acme).get(door, path)).toMatchObject({ status: 200, body: [{ title: 'plan' }] });
    expect(await as(globex).get(door, path)).toMatchObject({
      status: 200,
      body: filter.startsWith('body') ? [{ title: 'plot' }] : [],
    });
  });

  test('embeds its own rows in both directions and none of another', async () => {
    const notes = `/notes?select=title,comments(text)&id=eq.${acmeNote}`;
    const comments = `/comments?select=text,notes(title)&note_id=eq.${acmeNote}`;
    expect((await as(acme).get(door, notes)).body).toEqual([{ title: 'plan', comments: [{ text: 'about plan' }] }]);
    expect((await as(acme).get(door, comments)).body).toEqual([{ text: 'about plan', notes: { title: 'plan' } }]);
    expect((await as(globex).get(door, notes)).body).toEqual([]);
    expect((await as(globex).get(door, comments)).body).toEqual([]);
  });

  test('counts its own rows exactly and none of another', async () => {
    const path = `/notes?id=eq.${acmeNote}`;
    expect(await as(acme).head(door, path, { prefer: 'count=exact' })).toMatchObject({ status: 200, range: '0-0/1' });
    expect(await as(globex).head(door, path, { prefer: 'count=exact' })).toMatchObject({ status: 200, range: '*/0' });
  });

  test.each(['planned', 'estimated'])('gets no %s count, which is drawn from all tenants together', async (mode) => {
    for (const token of [acme, globex]) {
      expect(await as(token).get(door, `/notes?id=eq.${acmeNote}`, { prefer: `count=${mode}` })).toMatchObject({
        status: 400,
        body: error('count_inexact', 'Only exact counts are answered'),
      });
    }
  });

  test('inserts for itself, and not for another', async () => {
    const note = { tenant_id: 't_acme', title: 'new' };
    expect(await as(acme).post(door, '/notes?select=title', note, returning)).toMatchObject({
      status: 201,
      body: [{ title: 'new' }],
    });
    expect(await as(globex).post(door, '/notes', note, returning)).toMatchObject({
      status: 403,
      body: rowSecurity(door, 'notes'),
    });
  });

  test('inserts in bulk for itself, and nothing if one row is for another', async () => {
    const bulk = [
      { tenant_id: 't_acme', title: 'one' },
      { tenant_id: 't_acme', title: 'two' },
    ];
    expect((await as(acme).post(door, '/notes', bulk)).status).toBe(201);
    const mixed = [
      { tenant_id: 't_globex', title: 'three' },
      { tenant_id: 't_acme', title: 'four' },
    ];
    expect(await as(globex).post(door, '/notes', mixed)).toMatchObject({
      status: 403,
      body: rowSecurity(door, 'notes'),
    });
    expect((await as(globex).get(door, '/notes?select=title')).body).toEqual([{ title: 'plot' }]);
  });

  test('updates its own rows, none of another, and moves none to another', async () => {
    const path = `/notes?id=eq.${acmeNote}&select=title`;
    expect(await as(acme).patch(door, path, { title: 'changed' }, returning)).toMatchObject({
      status: 200,
      body: [{ title: 'changed' }],
    });
    expect(await as(globex).patch(door, path, { title: 'taken' }, returning)).toMatchObject({ status: 200, body: [] });
    expect(await as(acme).patch(door, `/notes?id=eq.${acmeNote}`, { tenant_id: 't_globex' })).toMatchObject({
      status: 403,
      body: rowSecurity(door, 'notes'),
    });
    expect((await as(acme).get(door, path)).body).toEqual([{ title: 'changed' }]);
  });

  test('upserts its own row; with the key of another it adds a row of its own or is refused', async () => {
    const path = '/notes?on_conflict=tenant_id,id&select=tenant_id,title';
    const own = { tenant_id: 't_acme', id: acmeNote, title: 'merged' };
    expect(await as(acme).post(door, path, own, merging)).toMatchObject({
      status: 200,
      body: [{ tenant_id: 't_acme', title: 'merged' }],
    });
    expect(await as(globex).post(door, path, { ...own, title: 'taken' }, merging)).toMatchObject({
      status: 403,
      body: rowSecurity(door, 'notes'),
    });
    const sameId = { tenant_id: 't_globex', id: acmeNote, title: 'namesake' };
    expect(await as(globex).post(door, path, sameId, merging)).toMatchObject({
      status: 201,
      body: [{ tenant_id: 't_globex', title: 'namesake' }],
    });
    expect((await as(acme).get(door, `/notes?id=eq.${acmeNote}&select=title`)).body).toEqual([{ title: 'merged' }]);
  });

  test('uses a unique value that another has, and is refused its own twice', async () => {
    expect((await as(acme).post(door, '/notes', { title: 'plot' })).status).toBe(201);
    const twice = await as(acme).post(door, '/notes', { title: 'plan' });
    expect(twice.status).toBe(409);
    expect(JSON.stringify(twice.body)).not.toContain('t_globex');
  });

  test('is told the same of a foreign key to another’s row as of one to no row', async () => {
    expect((await as(acme).post(door, '/comments', { note_id: acmeNote, text: 'mine' })).status).toBe(201);
    const none = '00000000-0000-7000-8000-000000000000';
    const missing = await as(acme).post(door, '/comments', { note_id: none, text: 'none' });
    const foreign = await as(acme).post(door, '/comments', { note_id: globexNote, text: 'theirs' });
    expect([missing.status, foreign.status]).toEqual([409, 409]);
    const text = (body: unknown) => JSON.stringify(body).replaceAll(none, '{id}').replaceAll(globexNote, '{id}');
    const withoutInstance = (body: unknown) => text({ ...(body as object), instance: undefined });
    expect(withoutInstance(foreign.body)).toBe(withoutInstance(missing.body));
  });

  test('deletes its own rows and none of another', async () => {
    const path = `/notes?id=eq.${acmeNote}&select=title`;
    expect(await as(globex).delete(door, path, returning)).toMatchObject({ status: 200, body: [] });
    expect(await as(acme).delete(door, path, returning)).toMatchObject({ status: 200, body: [{ title: 'plan' }] });
  });

  test('calls functions with its own ids, and gets nothing for those of another', async () => {
    for (const [name, args] of [
      ['read_note', {}],
      ['rename_note', { new_title: 'renamed' }],
    ] as const) {
      const call = (token: string) => as(token).post(door, `/rpc/${name}`, { note_id: acmeNote, ...args });
      expect(await call(globex)).toMatchObject({ status: 200, body: [] });
      expect(await call(acme)).toMatchObject({ status: 200, body: [{ id: acmeNote }] });
    }
  });

  test('is told that a job of another does not exist', async () => {
    const { body } = await as(acme).post(door, '/jobs', { type: 'csv.validate' }, returning);
    const id = (body as { id: string }[])[0]?.id;
    for (const name of ['cancel_job', 'retry_job']) {
      expect(await as(globex).post(door, `/rpc/${name}`, { id })).toMatchObject({
        status: 404,
        body: error('job_not_found', 'No such job'),
      });
    }
    expect(await as(acme).post(door, '/rpc/cancel_job', { id })).toMatchObject({
      status: 200,
      body: [{ id, status: 'cancelled' }],
    });
  });

  test('gets CSV of its own rows and none of another', async () => {
    const csv = (token: string) => as(token).get(door, `/notes?select=title&id=eq.${acmeNote}`, { accept: 'text/csv' });
    expect((await csv(acme)).body).toBe('title\nplan');
    expect((await csv(globex)).body).not.toContain('plan');
  });
});
