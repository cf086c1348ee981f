import { createHash } from 'node:crypto';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import SwaggerParser from '@apidevtools/swagger-parser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ERRORS } from '../../functions/errors.ts';
import { http } from '../support/http.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { sendTo } from './raw-http.ts';

// The API's description, and the page that shows it.

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; parameters?: object[]; responses: object }>>;
  components: { schemas: Record<string, { properties: Record<string, object> }>; securitySchemes: object };
}

let stack: TestStack;
let owner: string;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  owner = await stack.token({ tenant: 't_acme' });
});

afterAll(() => stack?.stop());

const document = (token?: string, path = '/openapi.json') =>
  http<Document>(`${stack.edge}${path}`, token === undefined ? {} : { token });

async function expectValid(body: Document): Promise<void> {
  expect(body.openapi).toBe('3.1.0');
  // It resolves references in place.
  await SwaggerParser.validate(structuredClone(body) as never);
  const operations = Object.values(body.paths).flatMap((item) => Object.values(item).map((one) => one.operationId));
  expect(new Set(operations).size).toBe(operations.length);
}

const EDGE_PATHS = [
  '/.well-known/jwks.json',
  '/auth/v1/revoke',
  '/auth/v1/token',
  '/healthz',
  '/openapi.json',
  '/readyz',
  '/storage/v1/files/{id}',
  '/storage/v1/uploads',
  '/storage/v1/uploads/{id}/complete',
  '/v1/event-types/{type}/{version}',
  '/v1/stream',
];

describe('/openapi.json', () => {
  test('has the public routes for whoever asks', async () => {
    const { status, headers, body } = await document();
    expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      'application/json',
      'public, max-age=300',
    ]);
    await expectValid(body);
    expect(Object.keys(body.paths).sort()).toEqual(EDGE_PATHS);
  });

  test("has a member's API for a member, and says where nothing runs", async () => {
    const { status, headers, body } = await document(owner);
    expect([status, headers.get('cache-control')]).toEqual([200, 'private, no-cache']);
    await expectValid(body);
    expect(Object.keys(body.paths)).toEqual(expect.arrayContaining(['/v1/files', '/v1/rpc/retry_job', ...EDGE_PATHS]));
    expect(body.paths['/v1/jobs']).toHaveProperty('post.security', [{ bearer: [] }]);
    expect(body.paths['/v1/jobs']).toHaveProperty(
      'post.parameters',
      expect.arrayContaining([{ $ref: '#/components/parameters/IdempotencyKey' }]),
    );
    expect(body.components.schemas.files?.properties.size).toMatchObject({ type: 'integer', format: 'int64' });
    expect(body.components.schemas.files?.properties.id).toMatchObject({ description: 'Primary Key.', format: 'uuid' });
    expect(JSON.stringify(body)).not.toMatch(/127\.0\.0\.1|localhost|<pk|<fk|swagger/);
    expect(Object.keys(body.paths)).not.toContain('/admin/v1/tenants');
  });

  test("has the operator's API for an operator", async () => {
    const { status, body } = await document(await stack.operatorToken());
    expect(status).toBe(200);
    await expectValid(body);
    expect(Object.keys(body.paths)).toEqual(
      expect.arrayContaining(['/admin/v1/tenants', '/admin/v1/rpc/create_tenant']),
    );
    expect(Object.keys(body.paths)).not.toContain('/v1/files');
  });

  test('names every code that the API answers with', async () => {
    const { body } = await document();
    const said = JSON.stringify(body.components.schemas.Problem);
    for (const code of ['token_expired', 'idempotency_mismatch', 'tenant_suspended'])
      expect(said).toContain(`"${code}"`);
    for (const code of ['migration_failed', 'stack_missing'] satisfies (keyof typeof ERRORS)[])
      expect(said).not.toContain(code);
  });

  test('is refused with a token that is none', async () => {
    const { status, body } = await document('not.a.token');
    expect([status, body]).toMatchObject([401, { code: 'token_invalid' }]);
    expect((await document(await stack.token({ tenant: 't_acme', user: 'stranger' }))).body).toMatchObject({
      status: 403,
      code: 'membership_required',
    });
  });

  test('is what /v1/ answers with', async () => {
    expect((await document(owner, '/v1/')).body).toEqual((await document(owner)).body);
    expect((await document(owner, '/v1')).status).toBe(200);
    expect((await document(undefined, '/v1/')).body).toMatchObject({ status: 401, code: 'token_required' });
  });
});

describe('/docs', () => {
  test('runs its own script and nothing else', async () => {
    expect((await http(`${stack.edge}/docs`)).headers.get('location')).toBe('/docs/');
    const { status, headers, body } = await http<string>(`${stack.edge}/docs/`);
    expect([status, headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = headers.get('content-security-policy') ?? '';
    const inline = /<script(?![^>]*src=)[^>]*>([\s\S]*?)<\/script>/.exec(body)?.[1] ?? '';
    expect(inline).toContain('/openapi.json');
    const hash = createHash('sha256').update(inline).digest('base64');
    expect(policy).toContain(`script-src 'self' 'sha256-${hash}'`);
    expect(policy).toMatch(/default-src 'none'.*connect-src 'self'.*frame-ancestors 'none'/);
    expect(headers.get('x-frame-options')).toBe('DENY');
    const sources = [...body.matchAll(/<(?:script|link)[^>]*(?:src|href)="([^"]*)"/g)].map(([, source]) => source);
    expect(sources).toEqual(['js/scalar.js']);
  });

  test('sends its script once', async () => {
    const first = await http<string>(`${stack.edge}/docs/js/scalar.js`);
    expect([first.status, first.headers.get('content-type')]).toEqual([200, 'text/javascript; charset=utf-8']);
    expect(first.headers.get('content-encoding')).toMatch(/^(br|gzip)$/);
    expect(first.body.length).toBeGreaterThan(1_000_000);
    const tag = first.headers.get('etag') ?? '';
    const again = await http(`${stack.edge}/docs/js/scalar.js`, { headers: { 'if-none-match': tag } });
    expect([again.status, again.body]).toEqual([304, null]);
  });

  test('packs its script once, in the form that is asked for', async () => {
    const ask = (asked: string, origin?: string) =>
      sendTo(stack.edge, {
        path: '/docs/js/scalar.js',
        headers: { 'accept-encoding': asked, ...(origin ? { origin } : {}) },
      });
    const plain = await ask('identity');
    expect(plain.headers).toMatchObject({ 'content-length': String(plain.bytes.length), vary: 'Accept-Encoding' });
    expect([plain.headers['content-encoding'], plain.headers.etag]).toEqual([undefined, expect.stringMatching(/^"/)]);
    for (const [asked, encoding, unpack] of [
      ['gzip, deflate, br', 'br', brotliDecompressSync],
      ['br;q=0, gzip', 'gzip', gunzipSync],
    ] as const) {
      const packed = await ask(asked, 'https://app.example.com');
      // What is packed while it is sent has no length.
      expect(packed.headers).toMatchObject({
        'content-encoding': encoding,
        'content-length': String(packed.bytes.length),
        etag: `W/${plain.headers.etag}`,
        vary: 'Origin, Accept-Encoding',
      });
      expect(unpack(packed.bytes).equals(plain.bytes)).toBe(true);
    }
  });
});
