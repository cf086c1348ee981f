import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool } from '../../functions/database.ts';
import {
  createSecretOpener,
  generateKeyPair,
  type SecretOpener,
} from '../../functions/worker/webhooks/outgoing/secrets.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type Endpoint, type Problem, type Webhooks, webhooks } from './api.ts';

let stack: TestStack;
let acme: Webhooks;
let globex: Webhooks;
let opener: SecretOpener;
/** Without headers. */
let changing: Endpoint;

const URL = 'https://hooks.example.com/in';

beforeAll(async () => {
  stack = await createTestStack();
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  acme = await webhooks(stack, 't_acme');
  globex = await webhooks(stack, 't_globex');
});

afterAll(() => stack?.stop());

test('makes no endpoint before a worker has said for which key its secret is encrypted', async () => {
  const { status, body } = await acme.call<Problem>('create_webhook_endpoint', { url: URL });
  expect([status, body.code]).toEqual([503, 'webhooks_unavailable']);
  const { privateKey } = await generateKeyPair();
  opener = await createSecretOpener(privateKey);
  const worker = createPool(stack.database.worker, 'test-worker');
  await worker.query('select webhook.register_sender($1, $2, false)', [opener.keyId, opener.publicKey]);
  await worker.end();
  changing = await acme.create({ url: URL });
});

test('shows the secret of a new endpoint once, to its admin, and stores it for the workers alone', async () => {
  const made = await acme.create({ url: URL, event_types: ['app.jobs.*'], headers: { 'X-Token': 'of-acme' } });
  expect(made.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
  expect(made.headers).toEqual({ 'x-token': null });
  const shown = await acme.endpoint(made.id);
  expect(shown).not.toHaveProperty('secret');
  expect(shown.headers).toEqual({ 'x-token': null });

  const { rows } = await stack.admin.query<{ kind: string; ciphertext: Buffer }>(
    'select kind, ciphertext from webhook.endpoint_secrets where endpoint_id = $1 order by kind',
    [made.id],
  );
  expect(rows.map(({ kind }) => kind)).toEqual(['header', 'hmac']);
  const [header, hmac] = await Promise.all(rows.map(({ ciphertext }) => opener.open(ciphertext)));
  expect(Buffer.from(header ?? []).toString()).toBe('of-acme');
  expect(`whsec_${Buffer.from(hmac ?? []).toString('base64')}`).toBe(made.secret);

  const { rows: kept } = await stack.admin.query<{ all: string }>(
    'select string_agg(e::text, $1) as all from ledger.entries e',
    [''],
  );
  expect(kept[0]?.all).toContain(made.id);
  expect(kept[0]?.all).not.toContain('of-acme');
  expect(kept[0]?.all).not.toContain(made.secret.slice(6));
});

test('keeps endpoints from members, viewers and other tenants', async () => {
  const { id } = await acme.create({ url: URL });
  expect((await acme.endpoint(id)).id).toBe(id);
  for (const role of ['member', 'viewer'] as const) {
    const lesser = await webhooks(stack, 't_acme', role);
    await expect(lesser.endpoint(id)).rejects.toThrow('no endpoint');
    expect((await lesser.change(id, { enabled: false })).body).toEqual([]);
    for (const [name, body] of [
      ['create_webhook_endpoint', { url: URL }],
      ['rotate_webhook_secret', { id }],
      ['test_webhook_endpoint', { id }],
      ['replay_webhook_deliveries', { id, from_position: 0 }],
      ['redeliver_webhook', { id, position: 1 }],
    ] as const) {
      const refused = await lesser.call<Problem>(name, body);
      expect([name, refused.status, refused.body.code]).toEqual([name, 403, 'role_insufficient']);
    }
  }
  await expect(globex.endpoint(id)).rejects.toThrow('no endpoint');
  expect((await globex.change(id, { url: 'https://globex.example.com/' })).body).toEqual([]);
  for (const [name, body] of [
    ['rotate_webhook_secret', { id }],
    ['test_webhook_endpoint', { id }],
    ['replay_webhook_deliveries', { id, from_position: 0 }],
    ['redeliver_webhook', { id, position: 1 }],
  ] as const) {
    const refused = await globex.call<Problem>(name, body);
    expect([name, refused.status, refused.body.code]).toEqual([name, 404, 'webhook_endpoint_unknown']);
  }
  const token = await stack.token({ tenant: 't_globex', role: 'admin' });
  const { status } = await http(`${stack.postgrest}/webhook_endpoints?id=eq.${id}`, { method: 'DELETE', token });
  expect(status).toBe(204);
  expect((await acme.endpoint(id)).url).toBe(URL);
});

const numbers = (count: number) => Array.from({ length: count }, (_, nth) => nth);

/** What no endpoint can be, and the field that the answer has to name. */
const INVALID: readonly [what: string, fields: object, names: string][] = [
  ['a URL that is none', { url: 'hooks.example.com' }, 'url'],
  ['no URL', { url: null }, 'url'],
  ['plain http', { url: 'http://hooks.example.com/' }, 'https'],
  ['a URL with credentials', { url: 'https://user:pass@hooks.example.com/' }, 'url'],
  ['a URL whose address is not closed', { url: 'https://[::1' }, 'url'],
  ['a URL whose host is nothing but dots', { url: 'https://..../' }, 'url'],
  ['a URL with a line break', { url: 'https://hooks.example.com/\r\nx: y' }, 'url'],
  ['a URL with a fragment', { url: `${URL}#here` }, 'url'],
  ['a URL without end', { url: `${URL}/${'x'.repeat(2048)}` }, 'url'],
  ['a type of event with a space', { event_types: ['app jobs'] }, 'event_types'],
  ['no type of event', { event_types: [] }, 'event_types'],
  ['a null for the types', { event_types: null }, 'event_types'],
  ['a null among the types', { event_types: ['app.jobs.*', null] }, 'event_types'],
  ['eleven types to compare letter by letter', { event_types: numbers(11).map((n) => `*x${n}`) }, 'event_types'],
  ['types in a list of lists', { event_types: [['app.jobs.*'], ['app.files.*']] }, 'event_types'],
  ['an unknown order', { ordering: 'strict' }, 'ordering'],
  ['a null for the order', { ordering: null }, 'ordering'],
  ['a rate of nothing', { rate: 0 }, 'rate'],
  ['a rate of too much', { rate: 10_001 }, 'rate'],
  ['a part of data that is none', { projection: ['a.b.c'] }, 'projection'],
  ['an unknown signature', { signing: ['v2'] }, 'signing'],
  ['signatures in a list of lists', { signing: [['v1', 'v1a']] }, 'signing'],
  ['parts of data in a list of lists', { projection: [['new'], ['changed']] }, 'projection'],
  ['no signature', { signing: [] }, 'signing'],
  ['a null for the signature', { signing: null }, 'signing'],
  ['a timeout of too little', { timeout_ms: 999 }, 'timeout_ms'],
  ['a null for the timeout', { timeout_ms: null }, 'timeout_ms'],
  ['a description without end', { description: 'x'.repeat(1001) }, 'description'],
  ['a null for the description', { description: null }, 'description'],
  ['neither enabled nor not', { enabled: null }, 'enabled'],
  ['a header of the connection', { headers: { Connection: 'close' } }, 'connection'],
  ['another host', { headers: { host: 'internal' } }, 'host'],
  ['a header of the signature', { headers: { 'Webhook-Id': 'evt_1' } }, 'webhook-id'],
  ['a line break in a header', { headers: { 'x-a': 'a\r\nx-b: c' } }, 'x-a'],
  ['a header twice', { headers: { 'x-a': 'a', 'X-A': 'b' } }, 'x-a'],
  ['a null for a header that is not there', { headers: { 'x-a': null } }, 'x-a'],
  ['headers that are a list', { headers: ['x-a'] }, 'headers'],
  ['a null for the headers', { headers: null }, 'headers'],
];

test('takes ten types to compare letter by letter, and as many as there may be of those that are not', async () => {
  const event_types = [...numbers(10).map((n) => `*x${n}`), ...numbers(90).map((n) => `order.x${n}*`)];
  const { id } = await acme.create({ url: URL, event_types });
  expect((await acme.endpoint(id)).event_types).toEqual(event_types);
});

test.each(INVALID)(
  'refuses %s, and says so in the same words of a new endpoint and of a change',
  async (_, fields, names) => {
    const made = await acme.call<Problem>('create_webhook_endpoint', { url: URL, ...fields });
    expect([made.status, made.body.code]).toEqual([422, 'webhook_endpoint_invalid']);
    expect(`${made.body.details} ${made.body.hint}`).toContain(names);
    const before = await acme.endpoint(changing.id);
    const changed = await acme.change<Problem>(changing.id, fields);
    expect([changed.status, changed.body]).toEqual([422, made.body]);
    expect(await acme.endpoint(changing.id)).toEqual(before);
  },
);

test('takes what it may become', async () => {
  const fields = {
    url: 'https://other.example.com/',
    event_types: ['app.*', 'order.paid'],
    ordering: 'subject',
    rate: 5,
    projection: ['changed', 'new.status'],
    signing: ['v1a'],
    timeout_ms: 30_000,
    description: 'another',
    enabled: false,
  };
  const { id } = await acme.create({ url: URL });
  const { status, body } = await acme.change(id, { ...fields, headers: { 'x-a': 'one' } });
  expect([status, body]).toMatchObject([200, [{ ...fields, headers: { 'x-a': null } }]]);
  const back = { enabled: true, rate: null, projection: null };
  expect((await acme.change(id, back)).body).toMatchObject([{ ...back, disabled_reason: null }]);
});

test('changes headers one by one, and keeps a value that is given back as null', async () => {
  const { id } = await globex.create({ url: URL, headers: { 'x-a': 'one', 'x-b': 'two' } });
  const changed = await globex.change(id, { headers: { 'x-a': null, 'x-c': 'three' } });
  expect(changed.body[0]?.headers).toEqual({ 'x-a': null, 'x-c': null });
  const { rows } = await stack.admin.query<{ header: string; ciphertext: Buffer }>(
    `select header, ciphertext from webhook.endpoint_secrets where endpoint_id = $1 and kind = 'header' order by header`,
    [id],
  );
  const values = await Promise.all(
    rows.map(async ({ header, ciphertext }) => [header, Buffer.from(await opener.open(ciphertext)).toString()]),
  );
  expect(values).toEqual([
    ['x-a', 'one'],
    ['x-c', 'three'],
  ]);
});

test('keeps two live keys where several rotate it at once, too', async () => {
  const { id } = await globex.create({ url: URL, signing: ['v1a'] });
  const rotations = await Promise.all(Array.from({ length: 6 }, () => globex.call('rotate_webhook_secret', { id })));
  expect(rotations.map(({ status }) => status)).toEqual(rotations.map(() => 200));
  const { rows } = await stack.admin.query(
    'select count(*)::int as live, (count(*) filter (where expires_at is null))::int as current from webhook.endpoint_secrets where endpoint_id = $1',
    [id],
  );
  expect(rows).toEqual([{ live: 2, current: 1 }]);
});

test('keeps two live secrets while one is rotated, and no more', async () => {
  const { id, secret } = await globex.create({ url: URL });
  const live = async () => {
    const { rows } = await stack.admin.query<{ ciphertext: Buffer }>(
      `select ciphertext from webhook.endpoint_secrets where endpoint_id = $1 and (expires_at is null or expires_at > now()) order by id`,
      [id],
    );
    const keys = await Promise.all(rows.map(({ ciphertext }) => opener.open(ciphertext)));
    return keys.map((key) => `whsec_${Buffer.from(key).toString('base64')}`);
  };
  const second = await globex.call<Endpoint>('rotate_webhook_secret', { id });
  expect(second.status).toBe(200);
  expect(second.headers.get('cache-control')).toBe('no-store');
  expect(await live()).toEqual([secret, second.body.secret]);
  const third = await globex.call<Endpoint>('rotate_webhook_secret', { id });
  expect(await live()).toEqual([second.body.secret, third.body.secret]);
  const fourth = await globex.call<Endpoint>('rotate_webhook_secret', { id, overlap: '0' });
  expect(await live()).toEqual([fourth.body.secret]);
});

test('allows as many endpoints as the plan does, also when they are made at once', async () => {
  await stack.createTenant('t_small');
  await stack.migrator.query(`update tenancy.tenants set tier = 'free' where id = 't_small'`);
  const small = await webhooks(stack, 't_small');
  const made = await Promise.all(
    Array.from({ length: 8 }, () => small.call<Problem>('create_webhook_endpoint', { url: URL })),
  );
  expect(made.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 429, 429, 429]);
  const refused = made.find(({ status }) => status === 429)?.body;
  expect(refused?.code).toBe('quota_exceeded');
  expect(JSON.parse(refused?.details ?? '')).toEqual({
    resource: 'webhook_endpoints',
    limit: 5,
    used: 5,
    requested: 1,
  });
});

test('deletes an endpoint with all that belongs to it', async () => {
  const { id } = await globex.create({ url: URL, headers: { 'x-a': 'one' } });
  expect((await globex.call('test_webhook_endpoint', { id })).status).toBe(200);
  expect(await globex.deliveries(id)).toHaveLength(1);
  const token = await stack.token({ tenant: 't_globex', role: 'admin' });
  const { status } = await http(`${stack.postgrest}/webhook_endpoints?id=eq.${id}`, { method: 'DELETE', token });
  expect(status).toBe(204);
  expect(await globex.deliveries(id)).toEqual([]);
  await stack.admin.query('select webhook.purge_orphans()');
  for (const table of ['endpoint_secrets', 'endpoint_states', 'deliveries', 'attempts']) {
    const { rows } = await stack.admin.query(`select from webhook.${table} where endpoint_id = $1`, [id]);
    expect([table, rows.length]).toEqual([table, 0]);
  }
});

test('gives workers no table and the clients none of the work', async () => {
  const { rows } = await stack.admin.query(
    `select relname from pg_class where relnamespace = 'webhook'::regnamespace and relkind in ('r', 'p')
     and has_any_column_privilege('rowhouse_worker', oid, 'select, insert, update, references')`,
  );
  expect(rows).toEqual([]);
  const client = await stack.admin.connect();
  await client.query('begin');
  await client.query('select auth.enter($1)', [await stack.token({ tenant: 't_acme', role: 'owner' })]);
  await client.query('set local role tenant_user');
  await expect(client.query(`select * from webhook.claim('{}', '[]')`)).rejects.toMatchObject({ code: '42501' });
  await client.query('rollback');
  client.release();
});
