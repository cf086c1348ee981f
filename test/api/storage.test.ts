import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestStack, type TestStack } from '../support/stack.ts';
import {
  announcement,
  digest,
  refusal,
  type StorageClient,
  storageClient,
  text,
  type Upload,
} from './storage-client.ts';

// Files through the edge, from two tenants, with the fs driver. Each probe works for the rightful owner first.

let stack: TestStack;
let client: StorageClient;
let owner: string;
let viewer: string;
let stranger: string;

const MAX_BYTES = 1_000_000;

beforeAll(async () => {
  stack = await createTestStack({ edge: true, env: { STORAGE_MAX_BYTES: String(MAX_BYTES) } });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  owner = await stack.token({ tenant: 't_acme', role: 'owner' });
  viewer = await stack.token({ tenant: 't_acme', role: 'viewer' });
  stranger = await stack.token({ tenant: 't_globex', role: 'owner' });
  client = storageClient(stack, owner);
});

afterAll(() => stack?.stop());

describe('an upload', () => {
  test('returns the row, the signed URL and where the file will be', async () => {
    const response = await client.announce(owner, { ...announcement, sha256: digest(text) });
    expect(response.status).toBe(201);
    const { file, upload } = (await response.json()) as Upload;
    expect(response.headers.get('location')).toBe(`/storage/v1/files/${file.id}`);
    expect(file).toMatchObject({
      ...announcement,
      tenant_id: 't_acme',
      status: 'pending',
      kind: 'upload',
      sha256: digest(text),
    });
    expect(upload).toMatchObject({
      method: 'PUT',
      headers: { 'content-type': 'text/csv', 'content-length': String(text.length) },
    });
    expect(upload.url.startsWith(`${stack.edge}/storage/v1/objects/t_acme/files/${file.id}?`)).toBe(true);
    expect(Date.parse(upload.expires_at)).toBeGreaterThan(Date.now());
  });

  test('is stored, and fetched by its owner and by no other tenant', async () => {
    const upload = await client.announced({ name: 'größe.csv' });
    const { id } = upload.file;
    const response = await client.put(upload);
    expect([response.status, await response.json()]).toEqual([
      201,
      { id, size: text.length, sha256: digest(text), status: 'stored' },
    ]);
    const redirect = await client.fetchFile(owner, id);
    expect([redirect.status, redirect.headers.get('cache-control')]).toEqual([302, 'private, no-store']);
    const download = await client.fetchFile(owner, id, 'follow');
    expect([download.status, await download.text()]).toEqual([200, text]);
    expect(Object.fromEntries(download.headers)).toMatchObject({
      'content-type': 'text/csv',
      'content-length': String(text.length),
      'content-disposition': `attachment; filename="gr__e.csv"; filename*=UTF-8''gr%C3%B6%C3%9Fe.csv`,
      'x-content-type-options': 'nosniff',
      etag: `"${digest(text)}"`,
    });
    expect(await refusal(await client.fetchFile(stranger, id))).toEqual([404, 'file_not_found']);
  });

  test('is refused to a viewer, who may fetch what is stored', async () => {
    const { file } = await client.stored();
    expect((await client.fetchFile(viewer, file.id)).status).toBe(302);
    expect(await refusal(await client.announce(viewer))).toEqual([403, 'permission_denied']);
  });

  test('needs a token', async () => {
    expect(await refusal(await client.announce(undefined))).toEqual([401, 'token_required']);
    expect(await refusal(await client.announce('not-a-token'))).toEqual([401, 'token_invalid']);
    const forged = `${owner.slice(0, -4)}AAAA`;
    expect(await refusal(await client.announce(forged))).toEqual([401, 'token_invalid']);
    const { file } = await client.stored();
    expect(await refusal(await client.fetchFile(forged, file.id))).toEqual([401, 'token_invalid']);
  });

  test('larger than the limit is refused before anything is written', async () => {
    expect((await client.announce(owner, { ...announcement, size: MAX_BYTES })).status).toBe(201);
    expect(await refusal(await client.announce(owner, { ...announcement, size: MAX_BYTES + 1 }))).toEqual([
      413,
      'upload_too_large',
    ]);
  });

  test.each([
    { size: -1 },
    { size: 1.5 },
    { name: '' },
    { name: '../etc/passwd' },
    { name: 'a\nb' },
    { content_type: 'csv' },
    { content_type: 'text/csv\r\nx: y' },
    { sha256: 'abc' },
    { tenant_id: 't_globex' },
    { status: 'stored' },
  ])('with %j is refused', async (wrong) => {
    expect(await refusal(await client.announce(owner, { ...announcement, ...wrong }))).toEqual([
      400,
      'request_invalid',
    ]);
  });
});

describe('a download', () => {
  test('answers ranges, HEAD and what the client has already', async () => {
    const { file } = await client.stored();
    const url = await client.signedGet(file.id);
    const part = await fetch(url, { headers: { range: 'bytes=8-' } });
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      'bytes 8-13/14',
      '1,Ada\n',
    ]);
    const beyond = await fetch(url, { headers: { range: 'bytes=14-' } });
    expect(beyond.headers.get('content-range')).toBe('bytes */14');
    expect(await refusal(beyond)).toEqual([416, 'range_invalid']);
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '14', '']);
    const etag = head.headers.get('etag') ?? '';
    expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const changed = await fetch(url, { headers: { range: 'bytes=8-', 'if-range': '"another"' } });
    expect([changed.status, await changed.text()]).toEqual([200, text]);
  });

  test('is refused when the URL was changed', async () => {
    const [{ file }, other] = [await client.stored(), await client.stored()];
    const url = await client.signedGet(file.id);
    expect((await fetch(url)).status).toBe(200);
    for (const forged of [
      url.replace(file.id, other.file.id),
      url.replace('t_acme', 't_globex'),
      url.replace('text%2Fcsv', 'text%2Fhtml'),
      url.replace('people.csv', 'people.exe'),
      url.replace(/expires=(\d+)/, (_all, at) => `expires=${Number(at) + 60}`),
    ]) {
      expect(forged).not.toBe(url);
      expect(await refusal(await fetch(forged))).toEqual([403, 'signature_invalid']);
    }
    const put = await fetch(url, { method: 'PUT', headers: { 'content-type': 'text/csv' }, body: text });
    expect(await refusal(put)).toEqual([403, 'signature_invalid']);
  });

  test('waits for the upload', async () => {
    const upload = await client.announced();
    expect(await refusal(await client.fetchFile(owner, upload.file.id))).toEqual([409, 'file_pending']);
    await client.put(upload);
    expect((await client.fetchFile(owner, upload.file.id)).status).toBe(302);
  });

  test('of what does not exist is refused', async () => {
    expect(await refusal(await client.fetchFile(owner, randomUUID()))).toEqual([404, 'file_not_found']);
    expect(await refusal(await client.fetchFile(owner, 'no-uuid'))).toEqual([400, 'request_invalid']);
  });
});

test('completing an upload tells the state that it has', async () => {
  const upload = await client.announced();
  const complete = (token: string) =>
    fetch(`${stack.edge}/storage/v1/uploads/${upload.file.id}/complete`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
    });
  expect(await refusal(await complete(owner))).toEqual([409, 'file_pending']);
  await client.put(upload);
  const state = { id: upload.file.id, size: text.length, sha256: digest(text), status: 'stored' };
  for (const _again of [1, 2]) {
    const response = await complete(owner);
    expect([response.status, await response.json()]).toEqual([200, state]);
  }
  expect(await refusal(await complete(stranger))).toEqual([404, 'file_not_found']);
});

test('logs neither tokens nor signatures', async () => {
  const { file, upload } = await client.stored();
  const url = await client.signedGet(file.id);
  expect((await fetch(url)).status).toBe(200);
  const log = () => stack.lines('edge').join('\n');
  await expect.poll(log).toContain(`"path":"${new URL(url).pathname}","status":200`);
  for (const secret of [owner, upload.url, url]) {
    const [tail] = secret.split(/[.=]/).slice(-1);
    expect(log()).not.toContain(tail);
  }
});
