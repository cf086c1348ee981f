import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type S3Double, startS3Double } from '../support/s3-double.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';

// Files through the edge with the s3 driver: bodies go past the edge, which looks at them before they count.

let stack: TestStack;
let s3: S3Double;
let owner: string;
let stranger: string;

const text = 'id,name\n1,Ada\n';
const digest = (body: string) => createHash('sha256').update(body).digest('hex');

beforeAll(async () => {
  s3 = await startS3Double();
  const env = {
    STORAGE_DRIVER: 's3',
    S3_ENDPOINT: s3.endpoint,
    S3_BUCKET: s3.bucket,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
    S3_FORCE_PATH_STYLE: 'true',
  };
  stack = await createTestStack({ edge: true, env });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  owner = await stack.token({ tenant: 't_acme', user: 'owner', role: 'owner' });
  stranger = await stack.token({ tenant: 't_globex', user: 'owner', role: 'owner' });
});

afterAll(async () => {
  await s3?.close();
  await stack?.stop();
});

async function announced(terms: object = {}) {
  const response = await fetch(`${stack.edge}/storage/v1/uploads`, {
    method: 'POST',
    headers: { authorization: `Bearer ${owner}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'people.csv', content_type: 'text/csv', size: text.length, ...terms }),
  });
  expect(response.status).toBe(201);
  const { file, upload } = (await response.json()) as {
    file: { id: string };
    upload: { url: string; headers: Record<string, string> };
  };
  return { id: file.id, key: `t_acme/files/${file.id}`, ...upload };
}

function put({ url, headers }: { url: string; headers: Record<string, string> }, body = text): Promise<Response> {
  const { 'content-length': _, ...sent } = headers;
  return fetch(url, { method: 'PUT', headers: sent, body });
}

async function complete(id: string, token = owner) {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${stack.edge}/storage/v1/uploads/${id}/complete`, { method: 'POST', headers });
  const { code, ...body } = (await response.json()) as { code?: string };
  return [response.status, code ?? body];
}

test('completes what was sent to the bucket, and redirects the owner there', async () => {
  const upload = await announced({ sha256: digest(text) });
  expect(await complete(upload.id)).toEqual([409, 'file_pending']);
  expect((await put(upload)).status).toBe(200);
  expect(await complete(upload.id, stranger)).toEqual([404, 'file_not_found']);
  const state = { id: upload.id, size: text.length, sha256: digest(text), status: 'stored' };
  expect(await complete(upload.id)).toEqual([200, state]);
  expect(await complete(upload.id)).toEqual([200, state]);
  const download = await fetch(`${stack.edge}/storage/v1/files/${upload.id}`, {
    headers: { authorization: `Bearer ${owner}` },
  });
  expect([download.status, await download.text()]).toEqual([200, text]);
  expect(new URL(download.url).origin).toBe(s3.endpoint);
  expect(download.headers.get('content-disposition')).toMatch(/^attachment; filename="people.csv"/);
});

test('refuses a second body at the same URL', async () => {
  const upload = await announced();
  expect((await put(upload)).status).toBe(200);
  expect((await put(upload, text.replace('Ada', 'Eve'))).status).toBe(412);
  expect(await complete(upload.id)).toMatchObject([200, { sha256: digest(text) }]);
});

test.each([
  ['upload_checksum', 422, text.replace('Ada', 'Eve')],
  ['upload_too_short', 400, text.slice(1)],
  ['upload_too_large', 413, `${text}2`],
])('removes an object that is not what was announced: %s', async (code, status, body) => {
  const upload = await announced({ sha256: digest(text) });
  // What a bucket would hold that does not check lengths and checksums itself.
  s3.objects.set(upload.key, Buffer.from(body));
  expect(await complete(upload.id)).toEqual([status, code]);
  expect(s3.objects.has(upload.key)).toBe(false);
  expect((await put(upload)).status).toBe(200);
  expect(await complete(upload.id)).toMatchObject([200, { status: 'stored' }]);
});

test('serves no objects itself', async () => {
  const upload = await announced();
  const response = await fetch(`${stack.edge}/storage/v1/objects/${upload.key}`, { method: 'PUT', body: text });
  expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([404, 'not_found']);
});

test('says so when the bucket cannot be reached', async () => {
  const upload = await announced();
  expect((await put(upload)).status).toBe(200);
  await s3.close();
  const headers = { authorization: `Bearer ${owner}` };
  const response = await fetch(`${stack.edge}/storage/v1/uploads/${upload.id}/complete`, { method: 'POST', headers });
  expect([response.status, response.headers.get('retry-after')]).toEqual([503, '5']);
  expect(((await response.json()) as { code: string }).code).toBe('storage_unavailable');
});
