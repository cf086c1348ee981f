import { createServer, type Socket } from 'node:net';
import { PostgrestClient } from '@supabase/postgrest-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../functions/stack/ports.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// What the edge makes of an upstream that does not answer as PostgREST does.

let stack: TestStack;
let owner: string;
let answer = '';
let asked = 0;
const sockets = new Set<Socket>();

const server = createServer((socket) => {
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    if (!bytes.toString().startsWith('HEAD')) asked++;
    // The edge asks with HEAD whether it is there.
    if (bytes.toString().startsWith('HEAD')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    else if (answer === '') socket.destroy();
    else socket.end(answer);
  });
});

beforeAll(async () => {
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  stack = await createTestStack({ edge: true, env: { POSTGREST_URL: `http://127.0.0.1:${port}` } });
  await stack.createTenant('t_acme');
  owner = await stack.token({ tenant: 't_acme' });
});

afterAll(async () => {
  await stack?.stop();
  for (const socket of sockets) socket.destroy();
  server.close();
});

function says(status: number, type: string, body: string, length = Buffer.byteLength(body)): string {
  return `HTTP/1.1 ${status} X\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`;
}

const HTML = '<html><body><h1>nginx/1.25 at 10.0.0.7</h1>select * from app.files</body></html>';
const JSON_TYPE = 'application/json; charset=utf-8';

describe('an answer that is no error of PostgREST is a problem that shows nothing of it:', () => {
  test.each<[string, string, number, string]>([
    ['HTML with 502', says(502, 'text/html', HTML), 503, 'upstream_unavailable'],
    ['HTML with 500', says(500, 'text/html', HTML), 500, 'internal'],
    ['HTML with 404', says(404, 'text/html', HTML), 404, 'not_found'],
    ['HTML with 400', says(400, 'text/html', HTML), 400, 'request_invalid'],
    ['HTML said to be JSON', says(403, JSON_TYPE, HTML), 403, 'permission_denied'],
    ['nothing with 500', says(500, JSON_TYPE, ''), 500, 'internal'],
    ['a list', says(409, JSON_TYPE, '[1]'), 409, 'conflict'],
    ['null', says(409, JSON_TYPE, 'null'), 409, 'conflict'],
    [
      'a code that is no string',
      says(400, JSON_TYPE, '{"code":{"a":1},"message":"select 1 from app.files"}'),
      400,
      'request_invalid',
    ],
    [
      'texts that are objects',
      says(400, JSON_TYPE, '{"code":"PGRST100","message":{"a":1},"details":{"at":"app.files"}}'),
      400,
      'PGRST100',
    ],
    ['half of JSON', says(400, JSON_TYPE, '{"code":"4250'), 400, 'request_invalid'],
    ['a body that breaks off', says(400, JSON_TYPE, '{"code":"42501"', 500), 503, 'upstream_unavailable'],
    ['a success that breaks off', says(200, JSON_TYPE, '[{"a":1', 500), 503, 'upstream_unavailable'],
    [
      'an error of a megabyte',
      says(400, JSON_TYPE, `{"code":"22P02","message":"${'x'.repeat(1024 * 1024)}"}`),
      400,
      'request_invalid',
    ],
    ['a status that is none', 'HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n', 500, 'internal'],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 503, 'upstream_unavailable'],
    ['a closed connection', '', 503, 'upstream_unavailable'],
  ])('%s', async (_what, said, status, code) => {
    answer = said;
    const { body, ...got } = await http<Record<string, unknown>>(
      `${stack.edge}/v1/files?x=${encodeURIComponent(_what)}`,
      { token: owner },
    );
    expect([got.status, body.code, body.status]).toEqual([status, code, status]);
    expect(got.headers.get('content-type')).toBe('application/problem+json');
    expect(got.headers.get('retry-after')).toBe(status === 503 ? '1' : null);
    expect(JSON.stringify(body)).not.toMatch(/nginx|10\.0\.0\.7|select|app\.files|xxx|SSH/);
    expect(JSON.stringify(body).length).toBeLessThan(2000);
    const client = new PostgrestClient(`${stack.edge}/v1`, { headers: { authorization: `Bearer ${owner}` } });
    const seen = await client.from('files').select(`y${status}`);
    expect([seen.status, seen.error?.code, typeof seen.error?.message]).toEqual([status, code, 'string']);
  });
});

test('a large answer that breaks off is broken off for the client, too', async () => {
  answer = says(200, JSON_TYPE, `["${'x'.repeat(1024 * 1024)}`, 4 * 1024 * 1024);
  await expect(http(`${stack.edge}/v1/files?large`, { token: owner })).rejects.toThrow();
  expect((await http(`${stack.edge}/healthz`)).status).toBe(200);
});

test('hints of PostgreSQL pass for the caller’s own mistakes, and no others', async () => {
  const hinted = (code: string, status: number) =>
    says(
      status,
      JSON_TYPE,
      JSON.stringify({
        code,
        message: 'column files.nme does not exist',
        details: null,
        hint: 'Perhaps you meant "files.name".',
      }),
    );
  answer = hinted('42703', 400);
  expect((await http(`${stack.edge}/v1/files?h=1`, { token: owner })).body).toMatchObject({
    code: 'request_invalid',
    detail: 'column files.nme does not exist',
    hint: 'Perhaps you meant "files.name".',
  });
  for (const [code, status] of [
    ['42501', 403],
    ['23505', 409],
    ['XX000', 500],
    ['42P17', 500],
  ] as const) {
    answer = hinted(code, status);
    const { body } = await http(`${stack.edge}/v1/files?h=${code}`, { token: owner });
    expect(JSON.stringify(body)).not.toMatch(/nme|Perhaps/);
  }
});

describe('an answer that cannot be read says nothing about the pool, and is not asked for again:', () => {
  test.each([
    ['a head that is too long', `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(70_000)}\r\nContent-Length: 2\r\n\r\n[]`],
    ['a header that is none', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX A: b\r\n\r\n[]'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]'],
    ['a chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
  ])('%s', async (what, said) => {
    const ask = (nth: number) =>
      http<{ code: string }>(`${stack.edge}/v1/files?x=${encodeURIComponent(`${what} ${nth}`)}`, { token: owner });
    answer = says(200, JSON_TYPE, '[]');
    await expect.poll(async () => (await ask(0)).status).toBe(200);
    const opened = () => stack.lines('edge').filter((line) => line.includes('"msg":"a pool does not answer"')).length;
    const before = opened();
    answer = said;
    asked = 0;
    for (const nth of [1, 2, 3, 4]) {
      const { status, body } = await ask(nth);
      expect([status, body.code]).toEqual([503, 'upstream_unavailable']);
    }
    expect(asked).toBe(4);
    answer = says(200, JSON_TYPE, '[]');
    expect((await ask(5)).status).toBe(200);
    expect(opened()).toBe(before);
  });
});
