import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFsStorage, type FsStorage } from '../../functions/storage/fs.ts';
import { createTestStack, type TestStack } from '../support/stack.ts';
import { digest, rawPut, refusal, type StorageClient, storageClient, text } from './storage-client.ts';

// Attacks on signed URLs of the fs driver. After each: nothing half-stored, and the rightful body still fits.

let stack: TestStack;
let client: StorageClient;
let owner: string;
/** Signs as the edge does. */
let storage: FsStorage;

beforeAll(async () => {
  stack = await createTestStack({ edge: true });
  await stack.createTenant('t_acme');
  await stack.createTenant('t_globex');
  owner = await stack.token({ tenant: 't_acme' });
  client = storageClient(stack, owner);
  storage = createFsStorage(stack.storageDirectory, stack.storageSecret, stack.edge);
});

afterAll(() => stack?.stop());

/** How many transactions of the edge wait for a row. */
async function waiting(): Promise<number> {
  const { rows } = await stack.admin.query<{ count: number }>(
    `select count(*)::int from pg_stat_activity
     where datname = current_database() and application_name = 'rowhouse-edge' and wait_event_type = 'Lock'`,
  );
  return rows[0]?.count ?? 0;
}

describe('a signed PUT', () => {
  test('stores once', async () => {
    const upload = await client.stored();
    const before = await client.listFiles();
    expect(await refusal(await client.put(upload))).toEqual([409, 'file_exists']);
    const { url } = upload.upload;
    const unread = await client.sendRaw(rawPut(url, [`Content-Length: ${text.length}`], ''));
    expect(unread).toMatch(/^HTTP\/1.1 409 .*"code":"file_exists"/s);
    expect(await client.listFiles()).toEqual(before);
  });

  test('stores one body whole when two come at once', async () => {
    const upload = await client.announced();
    const before = await client.listFiles();
    const { url, headers } = upload.upload;
    const bodies = [text, text.replace('Ada', 'Eve')];
    const requests = bodies.map((body) => {
      const put = request(url, { method: 'PUT', headers });
      put.write(body.slice(0, -1));
      return { put, answer: once(put, 'response') as Promise<[IncomingMessage]> };
    });
    // Both have passed every check that comes before the body.
    await expect.poll(client.listFiles).toHaveLength(before.length + 2);
    const holder = await stack.admin.connect();
    await holder.query('begin');
    await holder.query("select from app.files where tenant_id = 't_acme' and id = $1 for update", [upload.file.id]);
    for (const { put } of requests) put.end('\n');
    await expect.poll(waiting).toBe(2);
    expect(await storage.stat(`t_acme/files/${upload.file.id}`)).toBeUndefined();
    await holder.query('commit');
    holder.release();
    const statuses = await Promise.all(requests.map(async ({ answer }) => (await answer)[0].resume().statusCode));
    expect(statuses.toSorted()).toEqual([201, 409]);
    expect(await client.listFiles()).toHaveLength(before.length + 1);
    const winner = bodies[statuses.indexOf(201)] ?? '';
    expect(await client.rowOf(upload.file.id)).toMatchObject({ sha256: digest(winner) });
    expect(await (await client.fetchFile(owner, upload.file.id, 'follow')).text()).toBe(winner);
  });

  test('leaves nothing of a body with another checksum', async () => {
    const upload = await client.announced({ sha256: digest(text) });
    await client.leavesNothing(upload, async () => {
      expect(await refusal(await client.put(upload, text.toUpperCase()))).toEqual([422, 'upload_checksum']);
    });
  });

  test('leaves nothing of a longer or shorter request', async () => {
    const upload = await client.announced();
    await client.leavesNothing(upload, async () => {
      expect(await refusal(await client.put(upload, `${text}2,Eve\n`))).toEqual([413, 'upload_too_large']);
      expect(await refusal(await client.put(upload, 'id\n'))).toEqual([400, 'upload_too_short']);
    });
  });

  test('leaves nothing of a body that breaks off', async () => {
    const upload = await client.announced();
    await client.leavesNothing(upload, async () => {
      await client.sendRaw(rawPut(upload.upload.url, [`Content-Length: ${text.length}`], text.slice(0, 5)), true);
    });
  });

  test('leaves nothing of a chunked body', async () => {
    const upload = await client.announced();
    const chunk = `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
    await client.leavesNothing(upload, async () => {
      const chunked = await client.sendRaw(rawPut(upload.upload.url, ['Transfer-Encoding: chunked'], chunk));
      expect(chunked).toMatch(/^HTTP\/1.1 400 .*"code":"request_invalid"/s);
      const both = ['Transfer-Encoding: chunked', `Content-Length: ${text.length}`];
      expect(await client.sendRaw(rawPut(upload.upload.url, both, chunk))).toMatch(/^HTTP\/1.1 400 /);
    });
  });

  test('ends where its length ends: what follows is no part of it, and no request', async () => {
    const upload = await client.announced();
    const answer = await client.sendRaw(
      rawPut(upload.upload.url, [`Content-Length: ${text.length}`], `${text}smuggled`),
    );
    expect(answer).toMatch(/^HTTP\/1.1 (201|400) /);
    // The connection is cut while the upload may still be under way: it is stored whole or not at all.
    const stored = { status: 'stored', size: text.length, sha256: digest(text) };
    const pending = { status: 'pending', size: text.length, sha256: null };
    expect([stored, pending]).toContainEqual(await client.rowOf(upload.file.id));
    expect([201, 409]).toContain((await client.put(upload)).status);
    expect(await client.rowOf(upload.file.id)).toEqual(stored);
  });

  test('is refused for another method, file, tenant, length, type or time', async () => {
    const upload = await client.announced();
    const { url } = upload.upload;
    const other = await client.announced();
    await client.leavesNothing(upload, async () => {
      const changed = [
        url.replace(upload.file.id, other.file.id),
        url.replace('t_acme', 't_globex'),
        url.replace(/length=\d+/, `length=${text.length + 1}`),
        url.replace('text%2Fcsv', 'text%2Fhtml'),
        url.replace(/expires=(\d+)/, (_all, at) => `expires=${Number(at) + 60}`),
        url.replace(/signature=.*/, 'signature='),
        url.replace(/&signature=.*/, ''),
        `${url}&sha256=${digest('x')}`,
      ];
      for (const forged of changed) {
        expect(forged).not.toBe(url);
        expect(await refusal(await client.put(upload, text, forged))).toEqual([403, 'signature_invalid']);
      }
      expect(await refusal(await fetch(url))).toEqual([403, 'signature_invalid']);
      expect(await refusal(await fetch(url, { method: 'DELETE' }))).toEqual([404, 'not_found']);
      const html = { method: 'PUT', headers: { 'content-type': 'text/html' }, body: text };
      expect(await refusal(await fetch(url, html))).toEqual([403, 'signature_invalid']);
    });
  });

  test('is refused after its time', async () => {
    const upload = await client.announced();
    const key = `t_acme/files/${upload.file.id}`;
    const terms = { key, contentLength: text.length, contentType: 'text/csv', expiresAt: new Date(Date.now() - 1000) };
    const { url } = await storage.signPut(terms);
    await client.leavesNothing(upload, async () => {
      expect(await refusal(await client.put(upload, text, url))).toEqual([403, 'signature_expired']);
    });
  });

  test('is judged before a byte of its body has come', async () => {
    const upload = await client.announced();
    await client.leavesNothing(upload, async () => {
      const forged = upload.upload.url.replace(/signature=.*/, 'signature=x');
      const answer = await client.sendRaw(rawPut(forged, [`Content-Length: ${text.length}`], ''));
      expect(answer).toMatch(/^HTTP\/1.1 403 .*"code":"signature_invalid"/s);
    });
  });

  test('leaves nothing while the tenant is suspended', async () => {
    const upload = await client.announced();
    const setStatus = (status: string) =>
      stack.migrator.query("update tenancy.tenants set status = $1 where id = 't_acme'", [status]);
    const before = await client.listFiles();
    await setStatus('suspended');
    expect(await refusal(await client.put(upload))).toEqual([403, 'tenant_suspended']);
    await setStatus('active');
    expect(await client.listFiles()).toEqual(before);
    expect((await client.put(upload)).status).toBe(201);
  });

  test('leaves nothing when the row is gone', async () => {
    const [upload, kept] = [await client.announced(), await client.announced()];
    const before = await client.listFiles();
    const row = `${stack.postgrest}/files?id=eq.${upload.file.id}`;
    expect((await fetch(row, { method: 'DELETE', headers: { authorization: `Bearer ${owner}` } })).status).toBe(204);
    expect(await refusal(await client.put(upload))).toEqual([404, 'file_not_found']);
    expect(await client.listFiles()).toEqual(before);
    expect((await client.put(kept)).status).toBe(201);
  });
});

describe('an object path', () => {
  test.each([
    '..%2f..%2fetc%2fpasswd',
    't_acme/files/..%2f..%2ft_globex%2ffiles%2f',
    't_acme/files/%2e%2e/%2e%2e/secret',
    't_acme%2ffiles%2f0190b5a8-7c00-7000-8000-000000000000',
    't_acme/files/0190b5a8-7c00-7000-8000-000000000000%00',
    't_acme/files/0190b5a8-7c00-7000-8000-000000000000/',
    't_acme/other/0190b5a8-7c00-7000-8000-000000000000',
    '.staging/0190b5a8-7c00-7000-8000-000000000000',
    '',
  ])('%j is refused', async (path) => {
    const { file } = await client.stored();
    const good = await client.signedGet(file.id);
    const { search } = new URL(good);
    expect((await fetch(good)).status).toBe(200);
    for (const method of ['GET', 'PUT']) {
      // As bytes on the socket: fetch() would resolve the dots before it sends them.
      const head = `${method} /storage/v1/objects/${path}${search} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n`;
      const answer = await client.sendRaw(`${head}Content-Length: 0\r\n\r\n`);
      // Needless escapes are refused at the front door, whatever they hide.
      const code = path.includes('%') ? 'request_invalid' : 'object_key_invalid';
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 400 .*"code":"${code}"`, 's'));
    }
  });
});
