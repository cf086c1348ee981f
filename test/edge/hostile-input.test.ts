import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendRaw, startRecorder } from './raw-http.ts';

// Requests that no honest client sends, over raw sockets, with a recorder where PostgREST would be.

let recorder: Awaited<ReturnType<typeof startRecorder>>;
let stack: TestStack;
let owner: string;

const TIMEOUT_MS = 1500;

beforeAll(async () => {
  recorder = await startRecorder();
  stack = await createTestStack({
    edge: true,
    env: {
      POSTGREST_URL: recorder.url,
      EDGE_HEADERS_TIMEOUT_MS: String(TIMEOUT_MS),
      EDGE_BODY_TIMEOUT_MS: String(TIMEOUT_MS),
      EDGE_IDLE_TIMEOUT_MS: String(2 * TIMEOUT_MS),
      EDGE_BODY_BYTES: '65536',
    },
  });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  // What is cached would not get to the recorder.
  await stack.migrator.query("insert into tenancy.tenant_settings (tenant_id, cache_enabled) values ('t_acme', false)");
  owner = await stack.token({ tenant: 't_acme' });
});

afterAll(async () => {
  await stack?.stop();
  await recorder?.stop();
});

beforeEach(() => void recorder.take());

interface Shape {
  method?: string;
  target?: string;
  version?: string;
  /** Lines behind Host, Authorization and Connection, without their ends. */
  headers?: string[];
  /** In their place. */
  all?: string[];
  body?: string;
}

function request({
  method = 'GET',
  target = '/v1/files',
  version = 'HTTP/1.1',
  headers = [],
  all,
  body = '',
}: Shape): string {
  const lines = all ?? ['Host: edge', `Authorization: Bearer ${owner}`, 'Connection: close', ...headers];
  return [`${method} ${target} ${version}`, ...lines, '', body].join('\r\n');
}

const send = (shape: Shape, options?: { patienceMs: number }) => sendRaw(stack.edge, [request(shape)], options);

async function expectAlive(): Promise<void> {
  expect((await http(`${stack.edge}/healthz`)).status).toBe(200);
}

/** One answer, which is `status`, then the end; and nothing got through. */
async function expectRefused(pieces: (string | Buffer)[], status: number): Promise<void> {
  const answer = await sendRaw(stack.edge, pieces);
  expect(answer).toMatchObject({ statuses: [status], closed: true });
  expect(recorder.take()).toEqual([]);
  expect(answer.text).not.toMatch(/"code":"internal"/);
  await expectAlive();
}

const chunked = (...chunks: string[]) =>
  `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`;
const hidden = 'GET /admin/v1/tenants HTTP/1.1\r\nHost: edge\r\n\r\n';

test('an honest request is forwarded as it was sent', async () => {
  const read = await send({ target: '/v1/files?select=id&name=eq.a%20%26%20b' });
  expect(read).toMatchObject({ statuses: [200], closed: true });
  expect(recorder.take()).toMatchObject([{ method: 'GET', url: '/files?select=id&name=eq.a%20%26%20b' }]);
  const body = '{"name":"x"}';
  const headers = ['Content-Type: application/json'];
  for (const framing of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
    const sent = framing.startsWith('T') ? chunked(body.slice(0, 5), body.slice(5)) : body;
    expect((await send({ method: 'POST', headers: [...headers, framing], body: sent })).statuses).toEqual([200]);
    const [got] = recorder.take();
    expect(got).toMatchObject({ method: 'POST', url: '/files', body });
    // One framing, and the same for both.
    expect([got?.headers['content-length'], got?.headers['transfer-encoding']]).toEqual([
      String(body.length),
      undefined,
    ]);
  }
});

describe('framing that two readers could read in two ways is refused:', () => {
  const post = (headers: string[], body: string) => request({ method: 'POST', headers, body });
  test.each<[string, () => string]>([
    ['length and chunks', () => post(['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${hidden}`)],
    ['chunks and length', () => post(['Transfer-Encoding: chunked', 'Content-Length: 6'], `0\r\n\r\n${hidden}`)],
    ['two lengths', () => post(['Content-Length: 5', 'Content-Length: 6'], 'aaaaaa')],
    ['the same length twice', () => post(['Content-Length: 6', 'Content-Length: 6'], 'aaaaaa')],
    ['a list of lengths', () => post(['Content-Length: 6, 6'], 'aaaaaa')],
    ['a signed length', () => post(['Content-Length: +6'], 'aaaaaa')],
    ['a negative length', () => post(['Content-Length: -6'], 'aaaaaa')],
    ['a hexadecimal length', () => post(['Content-Length: 0x6'], 'aaaaaa')],
    ['a length too large for a number', () => post(['Content-Length: 99999999999999999999'], 'aaaaaa')],
    ['an unknown coding', () => post(['Transfer-Encoding: xchunked'], chunked('aa'))],
    ['a coding after chunked', () => post(['Transfer-Encoding: chunked, identity'], chunked('aa'))],
    ['chunked twice', () => post(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], chunked('aa'))],
    ['two codings', () => post(['Transfer-Encoding: chunked', 'Transfer-Encoding: x'], chunked('aa'))],
    ['a space before the colon', () => post(['Transfer-Encoding : chunked'], chunked('aa'))],
    ['a space before the length', () => post(['Content-Length : 2'], 'aa')],
    ['a tab in the name', () => post(['Transfer\tEncoding: chunked'], chunked('aa'))],
    ['a folded line', () => post(['X-Fold: a', ' Transfer-Encoding: chunked'], chunked('aa'))],
    ['a folded coding', () => post(['Transfer-Encoding:', ' chunked'], chunked('aa'))],
    ['a vertical tab', () => post(['Transfer-Encoding: \x0bchunked'], chunked('aa'))],
    ['bare line feeds', () => post(['Content-Length: 2'], 'aa').replaceAll('\r\n', '\n')],
    ['one bare line feed', () => post(['X-A: b\nTransfer-Encoding: chunked'], chunked('aa'))],
    ['a bare carriage return', () => post(['X-A: b\rTransfer-Encoding: chunked'], chunked('aa'))],
    ['a size that is none', () => post(['Transfer-Encoding: chunked'], 'zz\r\naa\r\n0\r\n\r\n')],
    ['a size with a sign', () => post(['Transfer-Encoding: chunked'], '+2\r\naa\r\n0\r\n\r\n')],
    [
      'a size too large for a number',
      () => post(['Transfer-Encoding: chunked'], 'fffffffffffffffff\r\naa\r\n0\r\n\r\n'),
    ],
    ['a chunk longer than its size', () => post(['Transfer-Encoding: chunked'], '2\r\naaaa\r\n0\r\n\r\n')],
    ['chunks ended by line feeds', () => post(['Transfer-Encoding: chunked'], '2\naa\n0\n\n')],
    [
      'chunks in HTTP/1.0',
      () =>
        request({
          method: 'POST',
          version: 'HTTP/1.0',
          headers: ['Transfer-Encoding: chunked', 'Content-Length: 5'],
          body: chunked('aa'),
        }),
    ],
    ['a body with GET', () => request({ headers: ['Content-Length: 2'], body: 'aa' })],
    ['chunks with GET', () => request({ headers: ['Transfer-Encoding: chunked'], body: chunked('aa') })],
    ['a body with HEAD', () => request({ method: 'HEAD', headers: ['Content-Length: 2'], body: 'aa' })],
  ])('%s', (_what, shape) => expectRefused([shape()], 400));
});

describe('a header that can be there once is refused twice:', () => {
  test.each([
    ['Authorization', 'Bearer x'],
    ['AUTHORIZATION', 'Bearer x'],
    ['Host', 'edge'],
    ['Host', 'globex.example.com'],
    ['Content-Type', 'text/csv'],
    ['X-Tenant-Id', 't_acme'],
    ['X-Request-Id', 'a'],
    ['Idempotency-Key', 'a'],
    ['Range', '0-1'],
    ['Traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
    ['If-Modified-Since', 'Sat, 21 Nov 2026 07:00:00 GMT'],
    ['X-Anything', 'a'],
  ])('%s: %s', (name, value) => expectRefused([request({ headers: [`${name}: ${value}`, `${name}: ${value}`] })], 400));
});

test('lists in two headers are one list for everybody', async () => {
  const answer = await send({
    headers: ['Prefer: count=exact', 'Prefer: return=minimal', 'Accept: text/csv', 'accept: */*'],
  });
  expect(answer.statuses).toEqual([200]);
  const [got] = recorder.take();
  expect(got?.rawHeaders.filter((name) => /^(prefer|accept)$/i.test(name))).toHaveLength(2);
  expect([got?.headers.prefer, got?.headers.accept]).toEqual(['count=exact, return=minimal', 'text/csv, */*']);
});

describe('a target that has another spelling, or is none, is refused:', () => {
  test.each([
    '/v1/../admin/v1/tenants',
    '/v1/./files',
    '/v1/files/..',
    '/v1/files/.',
    '/../v1/files',
    '/v1//files',
    '//edge/v1/files',
    '/v1\\files',
    '/v1/%2e%2e/admin/v1/tenants',
    '/v1/%2E%2E/admin/v1/tenants',
    '/v1/..%2fadmin/v1/tenants',
    '/v1%2ffiles',
    '/v1%2Ffiles',
    '/v1/%5cfiles',
    '/v1/%252e%252e/files',
    '/v1/%252ffiles',
    '/%76%31/files',
    '/v1/fi%6ces',
    '/v1/files%00',
    '/v1/files%0d%0aX-Injected:%20yes',
    '/v1/files%7f',
    '/v1/%ff',
    '/v1/%c0%ae%c0%ae/files',
    '/v1/%e2%82',
    '/v1/%zz',
    '/v1/%',
    '/v1/files?name=eq.%00',
    '/v1/files?name=eq.%ff',
    '/v1/files?name=eq.%c3%28',
    '/v1/files?name=eq.%zz',
    '/v1/files?name=like.50%',
    '/v1/files#fragment',
    '/v1/files?a=1#fragment',
    'http://edge/v1/files',
    'http://evil.example/v1/files',
    'https://edge/v1/files',
    'files',
    '*',
    'edge:443',
    '?select=id',
  ])('%s', (target) => expectRefused([request({ target })], 400));

  test('OPTIONS *', () => expectRefused([request({ method: 'OPTIONS', target: '*' })], 400));

  test.each([
    '/v1/files name',
    '/v1/files\tname',
    '/v1/files\0',
    '/v1/files\x01',
    '/v1/fil\xe9s',
    '/v1/files?name=eq.\xff',
  ])('bytes of %j', (target) => expectRefused([Buffer.from(request({ target }), 'latin1')], 400));
});

test('escapes that are needed keep their meaning', async () => {
  const target = '/v1/my%20table%C3%A9?name=eq.a%2Fb%2e%2e%25&x=like.*%C3%A9*';
  expect((await send({ target })).statuses).toEqual([200]);
  expect(recorder.take()).toMatchObject([{ url: target.slice('/v1'.length) }]);
});

describe('headers with bytes that they may not have are refused:', () => {
  test.each<[string, string]>([
    ['a null', 'X-A: a\0b'],
    ['a control character', 'X-A: a\x01b'],
    ['no name', ': value'],
    ['a name of two words', 'X A: b'],
    ['a name beyond ASCII', 'X-\xe9: b'],
    ['no colon', 'X-A'],
    ['what is not UTF-8', 'X-Foo: a\xff\xfeb'],
    ['half a character', 'Prefer: a\xc3'],
    ['Latin 1', 'Cookie: name=Ren\xe9'],
  ])('%s', (_what, line) => expectRefused([Buffer.from(request({ headers: [line] }), 'latin1')], 400));

  test('a null in a key, with a reason', async () => {
    const pieces = [request({ method: 'POST', headers: ['Idempotency-Key: a\0b', 'Content-Length: 2'], body: '{}' })];
    await expectRefused(pieces, 400);
    expect((await sendRaw(stack.edge, pieces)).text).toContain('"code":"request_invalid"');
  });

  test('and UTF-8 is passed on', async () => {
    const answer = await sendRaw(stack.edge, [Buffer.from(request({ headers: ['X-Foo: René €'] }))]);
    expect(answer.statuses).toEqual([200]);
    const [got] = recorder.take();
    expect(Buffer.from(got?.headers['x-foo'] as string, 'latin1').toString()).toBe('René €');
  });
});

describe('too much of it is refused:', () => {
  test('one long header', () => expectRefused([request({ headers: [`X-Long: ${'a'.repeat(20_000)}`] })], 431));
  test('many headers', () =>
    expectRefused([request({ headers: Array.from({ length: 3000 }, (_, index) => `X-${index}: a`) })], 431));
  test('more headers than are counted, and what stands behind them', () =>
    expectRefused([request({ headers: [...Array<string>(2100).fill('via:'), 'X-Tenant-Id: t_globex'] })], 431));
  test('as many headers as nobody sends', async () => {
    const lines = (count: number) => Array.from({ length: count }, (_, index) => `X-${index}: a`);
    await expectRefused([request({ headers: lines(200) })], 431);
    expect((await send({ headers: lines(190) })).statuses).toEqual([200]);
  });
  test('a long target', () => expectRefused([request({ target: `/v1/files?name=eq.${'a'.repeat(20_000)}` })], 431));
  test('a body that says so', () =>
    expectRefused([request({ method: 'POST', headers: ['Content-Length: 65537'], body: 'a'.repeat(65_537) })], 413));
  test('a body that says nothing', () =>
    expectRefused(
      [
        request({
          method: 'POST',
          headers: ['Transfer-Encoding: chunked'],
          body: chunked('a'.repeat(40_000), 'a'.repeat(40_000)),
        }),
      ],
      413,
    ));
  test('chunk extensions', () =>
    expectRefused(
      [
        request({
          method: 'POST',
          headers: ['Transfer-Encoding: chunked'],
          body: `2;${'x'.repeat(20_000)}\r\naa\r\n0\r\n\r\n`,
        }),
      ],
      413,
    ));
});

describe('a method that is not served', () => {
  test.each(['TRACE', 'PROPFIND', 'LOCK', 'PURGE', 'QUERY'])('is refused: %s', async (method) => {
    const answer = await sendRaw(stack.edge, [request({ method })]);
    expect(answer).toMatchObject({ statuses: [405], closed: true });
    expect(answer.text).toMatch(/\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n/i);
    expect(recorder.take()).toEqual([]);
  });
  test('is refused: CONNECT', () => expectRefused([request({ method: 'CONNECT', target: 'evil.example:443' })], 405));
  test.each(['FOO', 'get', 'G ET', ''])('is not HTTP: %j', (method) => expectRefused([request({ method })], 400));
  test.each(['HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'HTTQ/1.1', ''])('is not in a version of HTTP: %j', (version) =>
    expectRefused([request({ version })], 400),
  );
  test('is not without a host', () =>
    expectRefused([request({ all: [`Authorization: Bearer ${owner}`, 'Connection: close'] })], 400));
  test.each([
    'edge:80:80',
    'edge..',
    't-acme.tenants.test..',
    '.edge',
    'a..b',
    'edge:x',
    'edge:1000000',
    'ed/ge',
    'a@edge',
    'a,b',
    '[::1',
    '',
  ])('is not to a host that is none: %j', (host) =>
    expectRefused([request({ all: [`Host: ${host}`, `Authorization: Bearer ${owner}`, 'Connection: close'] })], 400),
  );
  test.each(['edge:8080', '127.0.0.1', '[::1]:8080', 'Some_Host.', 'edge:'])('is to a host: %s', async (host) => {
    const answer = await send({ all: [`Host: ${host}`, `Authorization: Bearer ${owner}`, 'Connection: close'] });
    expect(answer.statuses).toEqual([200]);
  });
  test('is not forced on another route by a header', async () => {
    await send({
      headers: ['X-HTTP-Method-Override: DELETE', 'X-Original-URL: /admin/v1/tenants', 'X-Rewrite-URL: /admin'],
    });
    expect(recorder.take()).toMatchObject([{ method: 'GET', url: '/files' }]);
  });
});

describe('what stays between client and edge', () => {
  test('is not forwarded: an upgrade, hop-by-hop headers, what a proxy would say', async () => {
    const answer = await send({
      all: [
        'Host: edge',
        `Authorization: Bearer ${owner}`,
        'Connection: close, Upgrade, HTTP2-Settings, TE, X-Not-There',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
        'TE: trailers',
        'Keep-Alive: timeout=999',
        'Proxy-Authorization: Basic eDp5',
        'X-Forwarded-For: 10.0.0.1',
        'X-Forwarded-Host: globex.example.com',
        'Forwarded: for=10.0.0.1',
        'X-Rowhouse-Request-Hash: forged',
        'Accept-Profile: admin',
        'X-Tenant-Id: t_acme',
      ],
    });
    expect(answer.statuses).toEqual([200]);
    const [got] = recorder.take();
    const names = Object.keys(got?.headers ?? {});
    for (const name of [
      'upgrade',
      'http2-settings',
      'te',
      'proxy-authorization',
      'forwarded',
      'x-rowhouse-request-hash',
      'x-forwarded-host',
    ]) {
      expect(names).not.toContain(name);
    }
    expect(got?.headers).toMatchObject({
      'accept-profile': 'v1',
      'x-forwarded-for': '127.0.0.1',
      'x-tenant-id': 't_acme',
    });
    expect(got?.headers.connection).toBe('keep-alive');
  });

  test.each([
    ['X-Tenant-Id', 't_acme'],
    ['X-Tenant-Id', 't_globex'],
    ['idempotency-key', 'a'],
    ['ACCEPT', 'text/csv'],
    ['X-Anything', 'a'],
  ])('is not what a Connection header takes away on the way: %s: %s', (name, value) =>
    expectRefused(
      [
        request({
          all: ['Host: edge', `Authorization: Bearer ${owner}`, `Connection: close,${name}`, `${name}: ${value}`],
        }),
      ],
      400,
    ),
  );

  test('is a WebSocket that nobody serves', async () => {
    const headers = ['Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
    const answer = await send(
      { all: ['Host: edge', `Authorization: Bearer ${owner}`, 'Connection: Upgrade', ...headers] },
      { patienceMs: 300 },
    );
    expect(answer.statuses).toEqual([200]);
    expect(answer.text).not.toMatch(/^HTTP\/1\.1 101/);
  });

  test('is an expectation that nobody can meet', async () => {
    await expectRefused([request({ headers: ['Expect: 200-maybe'] })], 417);
    const { text } = await send({ headers: ['Expect: 200-maybe'] });
    expect(text).toMatch(/\r\ncontent-type: application\/problem\+json\r\n/i);
    expect(text).toMatch(/"status":417,.*"instance":"\/v1\/files","code":"request_invalid"/);
  });
});

describe('pipelined requests', () => {
  const alive = () => ['Host: edge', `Authorization: Bearer ${owner}`];

  test('are answered in their order', async () => {
    const first = request({ target: '/v1/files?limit=1', all: alive() });
    const second = request({ target: '/healthz', all: ['Host: edge'] });
    const third = request({ target: '/v1/jobs?limit=3' });
    const answer = await sendRaw(stack.edge, [first + second + third]);
    expect(answer).toMatchObject({ statuses: [200, 200, 200], closed: true });
    expect(recorder.take().map(({ url }) => url)).toEqual(['/files?limit=1', '/jobs?limit=3']);
  });

  test('are carried out one after the other, however many', async () => {
    recorder.takeMostInHand();
    const targets = [1, 2, 3, 4].map((nth) => `/v1/files?slow=${nth}`);
    const pieces = targets.map((target, index) => request({ target, ...(index < 3 ? { all: alive() } : {}) }));
    const answer = await sendRaw(stack.edge, [pieces.join('')]);
    expect(answer).toMatchObject({ statuses: [200, 200, 200, 200], closed: true });
    expect(recorder.take().map(({ url }) => url)).toEqual(targets.map((target) => target.slice('/v1'.length)));
    expect(recorder.takeMostInHand()).toBe(1);
  });

  test('are not carried out for a client that has gone', async () => {
    const all = [...alive(), 'Content-Length: 2'];
    const writes = [1, 2].map((nth) => request({ method: 'POST', target: `/v1/files?nth=${nth}`, all, body: '{}' }));
    const read = request({ target: '/v1/files?slow', all: alive() });
    const answer = await sendRaw(stack.edge, [read + writes.join('')], { patienceMs: 50 });
    expect(answer.statuses).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(recorder.take().map(({ url }) => url)).toEqual(['/files?slow']);
  });

  test('do not begin inside a body', async () => {
    const all = [...alive(), 'Content-Type: application/json', `Content-Length: ${hidden.length}`];
    const answer = await sendRaw(stack.edge, [request({ method: 'POST', all, body: hidden }) + request({})]);
    expect(answer).toMatchObject({ statuses: [200, 200], closed: true });
    expect(recorder.take().map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/files', hidden],
      ['GET', '/files', ''],
    ]);
  });

  test('have their answers before what is wrong behind them ends the connection', async () => {
    for (const count of [1, 2, 3]) {
      const pending = request({ target: '/v1/files?slow', all: alive() }).repeat(count);
      const answer = await sendRaw(stack.edge, [`${pending}\0\r\n\r\n`]);
      expect(answer).toMatchObject({ statuses: Array(count).fill(200), closed: true });
    }
  });

  test('end with one that is refused with its body unread', async () => {
    const all = [...alive(), 'Transfer-Encoding: chunked'];
    const answer = await sendRaw(stack.edge, [request({ all, body: '' }) + request({ target: '/v1/jobs' })]);
    expect(answer).toMatchObject({ statuses: [400], closed: true });
    expect(recorder.take()).toEqual([]);
  });
});

describe('a slow client is shown out:', () => {
  const patience = { patienceMs: 4 * TIMEOUT_MS };

  async function drip(head: string, piece: string) {
    const pieces = [head, ...Array.from({ length: 40 }, () => piece)];
    const started = performance.now();
    const answer = await sendRaw(stack.edge, pieces, { ...patience, gapMs: 150 });
    expect(performance.now() - started).toBeLessThan(4 * TIMEOUT_MS);
    return answer;
  }

  test.concurrent('one header at a time', async () => {
    const answer = await drip('GET /v1/files HTTP/1.1\r\nHost: edge\r\n', 'X-A: b\r\n');
    expect(answer).toMatchObject({ statuses: [408], closed: true });
  });

  test.concurrent('one byte of the body at a time', async () => {
    const head = request({ method: 'POST', headers: ['Content-Length: 1000', 'Content-Type: application/json'] });
    const answer = await drip(head, 'a');
    expect(answer).toMatchObject({ statuses: [408], closed: true });
  });

  test.concurrent('one chunk at a time', async () => {
    const answer = await drip(request({ method: 'POST', headers: ['Transfer-Encoding: chunked'] }), '1\r\na\r\n');
    expect(answer).toMatchObject({ statuses: [408], closed: true });
  });

  test.concurrent('a body that does not come, to a route that reads JSON', async () => {
    const headers = ['Content-Length: 1000', 'Content-Type: application/json'];
    const answer = await sendRaw(
      stack.edge,
      [request({ method: 'POST', target: '/storage/v1/uploads', headers })],
      patience,
    );
    expect(answer).toMatchObject({ statuses: [408], closed: true });
  });

  test.concurrent('nothing at all', async () => {
    const answer = await sendRaw(stack.edge, [''], patience);
    expect(answer.closed).toBe(true);
    expect(answer.statuses.filter((status) => status !== 408)).toEqual([]);
  });

  test('and what it began is not forwarded', async () => {
    const head = request({ method: 'POST', headers: ['Content-Length: 10'], body: 'abc' });
    const answer = await sendRaw(stack.edge, [head], { patienceMs: 100 });
    expect(answer).toMatchObject({ statuses: [], closed: false });
    expect(recorder.take()).toEqual([]);
  });
});

test('after all of it the edge serves as before, and had nothing to be ashamed of', async () => {
  const answer = await http(`${stack.edge}/v1/files`, { token: owner });
  expect(answer.status).toBe(200);
  expect(stack.lines('edge').filter((line) => /"level":(50|60)/.test(line))).toEqual([]);
});
