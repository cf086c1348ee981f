import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connected } from '../../functions/database.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendTo } from './raw-http.ts';
import { startEdge } from './second-edge.ts';
import { type OpenStream, openStream, problemOf, type StreamOptions } from './sse.ts';

// What is committed reaches whoever listens: once, in order, and nobody else.

let stack: TestStack;
let acme: string;
let globex: string;
const open: OpenStream[] = [];

beforeAll(async () => {
  stack = await createTestStack({ edge: true, env: { EDGE_STREAM_HEARTBEAT_MS: '400' } });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  acme = await stack.token({ tenant: 't_acme' });
  globex = await stack.token({ tenant: 't_globex' });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => stack?.stop());

async function listen(options: Partial<StreamOptions> = {}, edge = stack.edge): Promise<OpenStream> {
  const stream = await openStream(edge, { token: acme, ...options });
  open.push(stream);
  return stream;
}

const addFile = async (name: string, token = acme) => {
  const { status } = await http(`${stack.postgrest}/files`, {
    token,
    body: { name, content_type: 'text/csv', size: 1 },
  });
  expect(status).toBe(201);
};
const names = (stream: OpenStream) =>
  stream.events.filter(({ event }) => event.startsWith('app.files')).map(({ data }) => data.data.new?.name);
const insertFiles = (tenant: string, prefix: string, count: number, bytes = 1) =>
  `insert into app.files (tenant_id, kind, name, content_type, size, created_by)
   select '${tenant}', 'upload', '${prefix}' || lpad(n::text, 6, '0') || repeat('x', ${bytes - 1}), 'text/csv', 1, 'test'
   from generate_series(1, ${count}) as n`;

describe('GET /v1/stream', () => {
  test('gives what is written past the edge within a few hundred milliseconds, to its own tenant', async () => {
    const [own, other] = [await listen(), await listen({ token: globex })];
    expect([own.status, own.headers['content-type'], own.headers['cache-control']]).toEqual([
      200,
      'text/event-stream; charset=utf-8',
      'no-store, no-transform',
    ]);
    expect([own.headers['x-tenant-id'], own.headers['content-encoding']]).toEqual(['t_acme', undefined]);
    const started = performance.now();
    await addFile('first.csv');
    const [event] = await own.take(1);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(event).toMatchObject({
      event: 'app.files.inserted',
      data: {
        specversion: '1.0',
        type: 'app.files.inserted',
        source: '/tenants/t_acme',
        tenantid: 't_acme',
        data: { new: { name: 'first.csv' } },
      },
    });
    expect(event?.id).toBe(event?.data.id);
    expect(own.lastEventId).toBe(event?.id);
    await addFile('globex.csv', globex);
    await other.take(1);
    expect([names(own), names(other)]).toEqual([['first.csv'], ['globex.csv']]);
  });

  test('gives events of a transaction when it commits, and nothing of one that does not', async () => {
    const stream = await listen();
    await connected(stack.database.admin, async (client) => {
      await client.query('begin');
      await client.query(insertFiles('t_acme', 'rolled', 3));
      await client.query('rollback');
    });
    await addFile('after.csv');
    await stream.take(1);
    expect(names(stream)).toEqual(['after.csv']);
  });

  test.each([
    ['app.jobs.*', []],
    ['app.files.inserted', ['app.files.inserted', 'app.files.inserted']],
    ['app.files.*', ['app.files.inserted', 'app.files.updated', 'app.files.inserted']],
    ['app.jobs.*,app.files.updated', ['app.files.updated']],
    ['*', ['app.files.inserted', 'app.files.updated', 'app.files.inserted']],
  ])('gives types %s alone where they are asked for', async (types, expected) => {
    const last = (await listen()).lastEventId ?? 'evt_0';
    const streams = [await listen({ query: `?types=${types}` })];
    await stack.admin.query(insertFiles('t_acme', 'typed', 1));
    await stack.admin.query(
      `update app.files set updated_at = now() where tenant_id = 't_acme' and name = 'typed000001'`,
    );
    await stack.admin.query(`delete from app.files where tenant_id = 't_acme' and name = 'typed000001' and false`);
    await addFile('end.csv');
    const all = await listen({ query: `?last_event_id=${last}` });
    await all.take(3);
    // The same for those who read by themselves.
    streams.push(await listen({ query: `?types=${types}&last_event_id=${last}` }));
    for (const stream of streams) {
      const events = await stream.take(expected.length);
      await expect.poll(() => stream.lastEventId, { timeout: 5000 }).toBe(all.events.at(-1)?.id);
      expect(events.map(({ event }) => event)).toEqual(expected);
      expect(stream.events).toHaveLength(expected.length);
    }
    await stack.admin.query(`delete from app.files where tenant_id = 't_acme' and name = 'typed000001'`);
  });

  test('gives one subject alone where it is asked for', async () => {
    const { rows } = await stack.admin.query(`${insertFiles('t_acme', 'subject', 2)} returning id`);
    const stream = await listen({ query: `?subject=${rows[1].id}` });
    await stack.admin.query(`update app.files set updated_at = now() where tenant_id = 't_acme' and id = any ($1)`, [
      rows.map(({ id }) => id),
    ]);
    await addFile('other.csv');
    const all = await listen({ query: '?last_event_id=evt_0' });
    await all.take(1);
    expect((await stream.take(1)).map(({ data }) => data.subject)).toEqual([rows[1].id]);
    expect(stream.events).toHaveLength(1);
  });

  test('says now and then that it is there, and where it is', async () => {
    const stream = await listen();
    expect(stream.comments).toEqual(['open']);
    expect(stream.retryMs).toBeGreaterThanOrEqual(1000);
    await expect.poll(() => stream.comments.length, { timeout: 5000 }).toBeGreaterThan(3);
    expect(new Set(stream.comments.slice(1))).toEqual(new Set(['heartbeat']));
    expect(stream.events).toEqual([]);
    expect(stream.lastEventId).toMatch(/^evt_\d+$/);
  });

  test('does not compress, whatever the client takes', async () => {
    const stream = await listen({ headers: { 'accept-encoding': 'br, gzip' } });
    expect(stream.headers['content-encoding']).toBeUndefined();
    await addFile('plain.csv');
    await stream.take(1);
    expect(names(stream)).toEqual(['plain.csv']);
  });

  test('may be read by pages of the tenant’s origins', async () => {
    const operator = await stack.operatorToken();
    await http(`${stack.edge}/admin/v1/rpc/set_tenant_settings`, {
      token: operator,
      body: { id: 't_acme', settings: { cors_origins: ['https://app.acme.example'] } },
    });
    const allowed = async (origin: string) =>
      (await listen({ headers: { origin } })).headers['access-control-allow-origin'];
    await expect.poll(() => allowed('https://app.acme.example')).toBe('https://app.acme.example');
    expect(await allowed('https://evil.example')).toBeUndefined();
  });
});

describe('resuming', () => {
  test('goes on behind Last-Event-ID, over many pages, and then live', async () => {
    const before = await listen();
    await stack.admin.query(insertFiles('t_acme', 'page', 2500));
    const all = await before.take(2500, 30_000);
    for (const [round, nth] of [0, 1, 1234, 2499].entries()) {
      const headers = { 'last-event-id': all[nth]?.id ?? '' };
      // The header is newer than the URL.
      const stream = await listen({ headers, query: '?last_event_id=evt_0' });
      const rest = await stream.take(2499 - nth, 30_000);
      expect(rest.map(({ id }) => id)).toEqual(all.slice(nth + 1).map(({ id }) => id));
      await addFile(`live${nth}.csv`);
      await stream.take(2500 - nth + round);
      expect(names(stream).at(-1)).toBe(`live${nth}.csv`);
    }
  });

  test('has everything from evt_0 on', async () => {
    await stack.createTenant('t_history');
    const token = await stack.token({ tenant: 't_history' });
    await addFile('old.csv', token);
    const stream = await listen({ token, query: '?last_event_id=evt_0&types=app.files.*' });
    await stream.take(1);
    expect(names(stream)).toEqual(['old.csv']);
  });

  test('misses nothing when the edge is killed', async () => {
    const edge = await startEdge(stack);
    try {
      const stream = await listen({}, edge.url);
      await addFile('before.csv');
      await stream.take(1);
      process.kill(edge.pid(), 'SIGKILL');
      await stream.ended;
      await addFile('between.csv');
      const again = await listen({ headers: { 'last-event-id': stream.lastEventId ?? '' } });
      await addFile('again.csv');
      await again.take(2);
      expect([...names(stream), ...names(again)]).toEqual(['before.csv', 'between.csv', 'again.csv']);
    } finally {
      await edge.stop();
    }
  });

  test('misses nothing after the stream was opened and before its first event', async () => {
    const stream = await listen();
    await expect.poll(() => stream.lastEventId).toMatch(/^evt_\d+$/);
    const { lastEventId = '' } = stream;
    stream.close();
    await addFile('unseen.csv');
    const again = await listen({ headers: { 'last-event-id': lastEventId } });
    await again.take(1);
    expect(names(again)).toEqual(['unseen.csv']);
  });

  test.each([
    ['evt_', 400, 'request_invalid'],
    ['evt_-1', 400, 'request_invalid'],
    ['evt_1e3', 400, 'request_invalid'],
    ['evt_01', 400, 'request_invalid'],
    ['evt_9007199254740993', 400, 'request_invalid'],
    ['evt_99999999999999999999999999', 400, 'request_invalid'],
    ["evt_1'; drop table ledger.entries; --", 400, 'request_invalid'],
    ['evt_1,evt_2', 400, 'request_invalid'],
    ['4711', 400, 'request_invalid'],
    ['EVT_1', 400, 'request_invalid'],
    ['', 400, 'request_invalid'],
    ['évt_1', 400, 'request_invalid'],
    [`evt_${'1'.repeat(5000)}`, 400, 'request_invalid'],
    ['evt_9007199254740991', 404, 'event_unknown'],
    ['evt_1000000000', 404, 'event_unknown'],
  ])('refuses Last-Event-ID %j', async (id, status, code) => {
    const headers = { 'last-event-id': Buffer.from(id).toString('latin1') };
    expect(problemOf(await listen({ headers }))).toMatchObject({ status, code });
    expect(problemOf(await listen({ query: `?last_event_id=${encodeURIComponent(id)}` }))).toMatchObject({
      status,
      code,
    });
  });

  test('refuses the event of another tenant as one that it does not know', async () => {
    const stream = await listen({ token: globex });
    await addFile('theirs.csv', globex);
    const [event] = await stream.take(1);
    const query = `?last_event_id=${event?.id}`;
    expect(problemOf(await listen({ query }))).toEqual(
      problemOf(await listen({ query: '?last_event_id=evt_1000000000' })),
    );
    expect((await listen({ token: globex, query })).status).toBe(200);
  });

  test.each([
    '?types=',
    '?types=app.*.inserted',
    '?types=app.jobs.%25',
    '?types=a,,b',
    `?types=${Array.from({ length: 33 }, (_, nth) => `a${nth}`).join(',')}`,
    `?types=${'a'.repeat(201)}`,
    '?subject=',
    `?subject=${'a'.repeat(1025)}`,
    '?types=a&types=b',
    '?type=app.jobs.*',
    '?tenant_id=eq.t_globex',
  ])('refuses %s', async (query) => {
    expect(problemOf(await listen({ query }))).toMatchObject({ status: 400, code: 'request_invalid' });
  });
});

describe('other requests to it', () => {
  test('are refused: other methods, without a token, with an operator’s, for another tenant', async () => {
    const authorization = `Bearer ${acme}`;
    const ask = async (method: string, headers: Record<string, string>) => {
      const { status, body } = await sendTo(stack.edge, { method, path: '/v1/stream', headers });
      return [status, body === '' ? null : JSON.parse(body).code];
    };
    expect(await ask('GET', {})).toEqual([401, 'token_required']);
    expect(await ask('POST', { authorization })).toEqual([405, 'method_not_allowed']);
    expect(await ask('DELETE', { authorization })).toEqual([405, 'method_not_allowed']);
    expect(await ask('HEAD', { authorization })).toEqual([405, null]);
    expect(await ask('GET', { authorization, 'x-tenant-id': 't_globex' })).toEqual([403, 'tenant_mismatch']);
    expect(await ask('GET', { authorization: `Bearer ${await stack.operatorToken()}` })).toEqual([
      400,
      'tenant_required',
    ]);
    const stranger = await stack.token({ tenant: 't_acme', user: 'stranger' });
    expect(await ask('GET', { authorization: `Bearer ${stranger}` })).toEqual([403, 'membership_required']);
    const { rows } = await stack.admin
      .query(`set role rowhouse_edge; select auth.issue_service_token('t_acme', 'edge') as token; reset role`)
      .then((results) => (results as unknown as { rows: { token: string }[] }[])[1] ?? { rows: [] });
    expect(await ask('GET', { authorization: `Bearer ${rows[0]?.token}` })).toEqual([401, 'token_invalid']);
  });

  test('do not reach PostgREST, which has no such path', async () => {
    expect((await http(`${stack.postgrest}/stream`, { token: acme })).status).toBe(404);
  });
});
