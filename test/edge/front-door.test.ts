import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { type SentAnswer, sendTo } from './raw-http.ts';

// What every answer carries, who may read it in a browser, how it is packed, and how an edge goes.

let stack: TestStack;
let acme: string;
let globex: string;

const APP = 'https://app.example.com';
const ACME = 'https://acme.example.com';
const EVIL = 'https://evil.example.com';

beforeAll(async () => {
  stack = await createTestStack({
    edge: true,
    env: {
      EDGE_TENANT_DOMAIN: 'rowhouse.test',
      EDGE_CORS_ORIGINS: APP,
      EDGE_DRAIN_DELAY_MS: '800',
      EDGE_BODY_BYTES: '100000',
    },
  });
  for (const tenant of ['t_acme', 't_globex']) await stack.createTenant(tenant);
  await stack.migrator.query('insert into tenancy.tenant_settings (tenant_id, cors_origins) values ($1, $2)', [
    't_acme',
    [ACME],
  ]);
  acme = await stack.token({ tenant: 't_acme' });
  globex = await stack.token({ tenant: 't_globex' });
});

afterAll(() => stack?.stop());

const files = '/v1/files?select=name&limit=0';
type Headers = Record<string, string>;
const get = (path: string, headers: Headers = {}, token: string | undefined = acme) =>
  sendTo(stack.edge, { path, headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers } });

describe('every answer', () => {
  test.each([files, '/v1/nowhere', '/nowhere', '/healthz', '/storage/v1/files/x', '/openapi.json', '/v1/files%00'])(
    'says what a browser may not do with it: %s',
    async (path) => {
      const { headers } = await get(path);
      expect(headers).toMatchObject({
        'content-security-policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
        'referrer-policy': 'no-referrer',
        'strict-transport-security': 'max-age=31536000; includeSubDomains',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'x-request-id': expect.stringMatching(/^[\w.-]+$/),
      });
      expect(Object.keys(headers)).not.toContain('server');
      expect(Object.keys(headers)).not.toContain('x-powered-by');
    },
  );
});

test('a header in UTF-8 goes through, and one that is not is refused before PostgreSQL would fail on it', async () => {
  const latin = (text: string) => ({ 'x-note': Buffer.from(text).toString('latin1') });
  expect((await get(files, latin('René €'))).status).toBe(200);
  const refused = await get(files, { 'x-note': 'a\xff\xfeb' });
  expect([refused.status, JSON.parse(refused.body)]).toMatchObject([400, { code: 'request_invalid' }]);
});

describe('a trace', () => {
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const lines = (id: string) => stack.lines('edge').filter((line) => line.includes(`"trace_id":"${id}"`));
  const recorded = async (name: string) => {
    const { rows } = await stack.admin.query<{ trace_id: string }>(
      "select trace_id from ledger.entries where table_name = 'app.files' and new ->> 'name' = $1",
      [name],
    );
    return rows[0]?.trace_id;
  };
  const post = (name: string, traceparent?: string) =>
    sendTo(stack.edge, {
      method: 'POST',
      path: '/v1/files',
      headers: {
        authorization: `Bearer ${acme}`,
        'content-type': 'application/json',
        ...(traceparent ? { traceparent } : {}),
      },
      body: JSON.stringify({ name, content_type: 'text/csv', size: 1 }),
    });

  test.each([`00-${trace}-b7ad6b7169203331-01`, `cc-${trace}-b7ad6b7169203331-01-what-comes-then`])(
    'of the client goes into the log and the ledger: %s',
    async (traceparent) => {
      const before = lines(trace).length;
      expect((await post(`traced-${before}`, traceparent)).status).toBe(201);
      expect(await recorded(`traced-${before}`)).toBe(trace);
      await expect.poll(() => lines(trace).length).toBe(before + 1);
    },
  );

  test.each([
    undefined,
    `00-${trace}-b7ad6b7169203331`,
    `00-${trace}-b7ad6b7169203331-01-more`,
    `ff-${trace}-b7ad6b7169203331-01`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-b7ad6b7169203331-01`,
    "' or 1=1",
  ])('is made where there is none that is valid: %s', async (traceparent) => {
    const name = `untraced-${traceparent?.length}-${traceparent?.slice(0, 9)}`.replaceAll(/[^\w-]/g, '_');
    expect((await post(name, traceparent)).status).toBe(201);
    const id = (await recorded(name)) ?? '';
    expect(id).toMatch(/^(?!0{32})[\da-f]{32}$/);
    expect(id).not.toBe(trace);
    await expect.poll(() => lines(id).length).toBe(1);
  });
});

describe('a page of another origin', () => {
  const allowed = ({ headers }: SentAnswer) => headers['access-control-allow-origin'];

  test("reads answers of tenants that name it, or that name nobody and it is the deployment's", async () => {
    expect(allowed(await get(files, { origin: ACME }, acme))).toBe(ACME);
    expect(allowed(await get(files, { origin: APP }, acme))).toBeUndefined();
    expect(allowed(await get(files, { origin: APP }, globex))).toBe(APP);
    expect(allowed(await get(files, { origin: ACME }, globex))).toBeUndefined();
    for (const token of [acme, globex]) expect(allowed(await get(files, { origin: EVIL }, token))).toBeUndefined();
    expect(allowed(await get(files, { origin: 'null' }, globex))).toBeUndefined();
    expect(allowed(await get(files))).toBeUndefined();
  });

  test('reads refusals, too, with the headers that it needs', async () => {
    const refused = await get('/v1/nowhere', { origin: ACME });
    expect([refused.status, allowed(refused)]).toEqual([404, ACME]);
    expect(refused.headers['access-control-expose-headers']).toMatch(/\bContent-Range\b.*\bX-Request-Id\b/);
    expect(refused.headers['access-control-allow-credentials']).toBeUndefined();
    const anonymous = await get(files, { origin: APP }, '');
    expect([anonymous.status, allowed(anonymous)]).toEqual([401, APP]);
    for (const { headers } of [refused, anonymous]) expect(headers.vary).toMatch(/\bOrigin\b/);
    expect(allowed(await get('/storage/v1/files/x', { origin: APP }))).toBe(APP);
    expect(allowed(await get('/storage/v1/files/x', { origin: ACME, host: 't-acme.rowhouse.test' }))).toBe(ACME);
  });

  test('gets answers that say all that they vary by, kept or not', async () => {
    for (const [path, headers] of [
      [files, {}],
      [files, { 'cache-control': 'no-store' }],
      ['/v1/nowhere', {}],
      ['/v1/', {}],
      ['/openapi.json', {}],
    ] as const) {
      const plain = await get(path, headers);
      const crossing = await get(path, { ...headers, origin: ACME });
      expect([path, crossing.headers.vary]).toEqual([path, plain.headers.vary]);
      expect(crossing.headers.vary).toMatch(/\bAuthorization\b.*\bOrigin\b/);
    }
    for (const token of ['', 'not.a.token']) {
      const refused = await get('/v1/', { origin: APP }, token);
      expect([refused.status, refused.headers.vary]).toEqual([
        401,
        expect.stringMatching(/\bAuthorization\b.*\bOrigin\b/),
      ]);
    }
  });

  const preflight = (host: string, origin: string, path = files) =>
    sendTo(stack.edge, {
      method: 'OPTIONS',
      path,
      headers: {
        host,
        origin,
        'access-control-request-method': 'PATCH',
        'access-control-request-headers': 'authorization,content-type,prefer,idempotency-key',
      },
    });

  test('may ask first, without a token, by the host', async () => {
    const own = await preflight('t-acme.rowhouse.test', ACME);
    expect([own.status, own.body, allowed(own)]).toEqual([204, '', ACME]);
    expect(own.headers).toMatchObject({
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-allow-headers': 'authorization,content-type,prefer,idempotency-key',
      'access-control-max-age': '600',
      vary: 'Origin, Access-Control-Request-Headers',
    });
    expect(allowed(await preflight('t-acme.rowhouse.test', APP))).toBeUndefined();
    expect(allowed(await preflight('t-globex.rowhouse.test', APP))).toBe(APP);
    expect(allowed(await preflight('edge', APP))).toBe(APP);
    expect(allowed(await preflight('edge', APP, '/storage/v1/uploads'))).toBe(APP);
    const refused = await preflight('edge', EVIL);
    expect([refused.status, allowed(refused), refused.headers['access-control-allow-methods']]).toEqual([
      204,
      undefined,
      undefined,
    ]);
    const nobodys = await preflight('t-nobody.rowhouse.test', APP);
    expect([nobodys.status, allowed(nobodys)]).toEqual([204, APP]);
  });

  test('is not needed for OPTIONS, which PostgREST answers', async () => {
    const answer = await sendTo(stack.edge, {
      method: 'OPTIONS',
      path: '/v1/files',
      headers: { authorization: `Bearer ${acme}` },
    });
    expect([answer.status, answer.headers.allow]).toEqual([200, 'OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE']);
    expect(allowed(answer)).toBeUndefined();
  });

  test('follows settings that change', async () => {
    await stack.migrator.query('update tenancy.tenant_settings set cors_origins = $1', [[EVIL]]);
    await expect.poll(async () => allowed(await get(files, { origin: EVIL }))).toBe(EVIL);
    await stack.migrator.query('update tenancy.tenant_settings set cors_origins = $1', [[ACME]]);
    await expect.poll(async () => allowed(await get(files, { origin: EVIL }))).toBeUndefined();
  });
});

describe('an answer is compressed', () => {
  const many = '/v1/files?name=eq.packed&order=id';
  let plain: SentAnswer;

  beforeAll(async () => {
    const body = JSON.stringify(
      Array.from({ length: 300 }, () => ({ name: 'packed', content_type: 'text/csv', size: 1 })),
    );
    const headers = { authorization: `Bearer ${acme}`, 'content-type': 'application/json' };
    expect((await sendTo(stack.edge, { method: 'POST', path: '/v1/files', headers, body })).status).toBe(201);
    plain = await get(many);
  });

  test.each([
    ['gzip', 'gzip', gunzipSync],
    ['gzip, deflate, br', 'br', brotliDecompressSync],
    ['gzip;q=0.5', 'gzip', gunzipSync],
  ])('where the client asks for it: %s', async (asked, encoding, decode) => {
    const answer = await get(many, { 'accept-encoding': asked });
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, encoding]);
    expect(String(decode(answer.bytes))).toBe(plain.body);
    expect(answer.bytes.length).toBeLessThan(plain.bytes.length / 4);
    expect(answer.headers.vary).toMatch(/accept-encoding/i);
    expect(answer.headers['content-range']).toBe(plain.headers['content-range']);
    if (answer.headers.etag !== undefined) expect(answer.headers.etag).toMatch(/^W\//);
  });

  test('and both can be cached, and asked for again by their tag', async () => {
    const tag = (await get(many, { 'accept-encoding': 'gzip' })).headers.etag ?? '';
    const again = await get(many, { 'accept-encoding': 'gzip', 'if-none-match': tag });
    expect([tag !== '', again.status, again.body]).toEqual([true, 304, '']);
  });

  test.each([
    ['it does not ask', many, {}],
    ['it says no', many, { 'accept-encoding': 'identity, gzip;q=0' }],
    ['it asks for something else', many, { 'accept-encoding': 'zstd' }],
    ['it is small', '/v1/files?limit=1', { 'accept-encoding': 'gzip' }],
  ])('and not where %s', async (_why, path, headers: Headers) => {
    const answer = await get(path, headers);
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, undefined]);
    expect(() => JSON.parse(answer.body)).not.toThrow();
  });
});

test('a body that is too large is refused before it is read', async () => {
  const headers = { authorization: `Bearer ${acme}`, 'content-type': 'application/json' };
  const body = `[${' '.repeat(100_000)}]`;
  const answer = await sendTo(stack.edge, { method: 'POST', path: '/v1/files', headers, body });
  expect([answer.status, JSON.parse(answer.body)]).toMatchObject([
    413,
    { code: 'request_too_large', detail: 'A body can have 100000 bytes.' },
  ]);
});

test('an edge that is told to end says so, serves for a while, and finishes what it has in hand', async () => {
  const holder = await stack.admin.connect();
  expect((await sendTo(stack.edge, { path: '/readyz' })).status).toBe(200);
  await holder.query('begin; lock table app.files in access exclusive mode');
  const inHand = get(files, { 'cache-control': 'no-store' });
  const waiting = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
  await expect.poll(async () => (await stack.admin.query(waiting)).rowCount).toBe(1);

  process.kill(stack.pid('edge'), 'SIGTERM');
  await expect.poll(async () => (await sendTo(stack.edge, { path: '/readyz' })).status, { interval: 20 }).toBe(503);
  const going = await sendTo(stack.edge, { path: '/readyz' });
  expect(JSON.parse(going.body)).toMatchObject({ status: 503, code: 'edge_draining' });
  const meanwhile = await get('/v1/jobs?limit=0');
  expect([meanwhile.status, meanwhile.headers.connection]).toEqual([200, 'close']);
  expect((await sendTo(stack.edge, { path: '/healthz' })).status).toBe(200);

  await expect
    .poll(() => sendTo(stack.edge, { path: '/healthz' }).then(String, (error) => error.code))
    .toBe('ECONNREFUSED');
  await holder.query('commit');
  holder.release();
  expect([(await inHand).status, (await inHand).headers.connection]).toEqual([200, 'close']);
  const says = (message: string) => stack.lines('edge').some((line) => line.includes(`"msg":"${message}"`));
  await expect.poll(() => says('edge stopped')).toBe(true);
});
