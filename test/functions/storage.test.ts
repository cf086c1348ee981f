import { createHash, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { edgeSchema, readConfig } from '../../functions/config.ts';
import { RowhouseError } from '../../functions/errors.ts';
import type { SignedRequest } from '../../functions/storage/driver.ts';
import { createFsStorage, type FsStorage, OBJECTS_PATH } from '../../functions/storage/fs.ts';
import { createStorage, type Storage } from '../../functions/storage/storage.ts';
import { startS3Double } from '../support/s3-double.ts';

interface Harness {
  storage: Storage;
  /** Names of everything that the store holds, half-written bodies included. */
  list(): Promise<string[]>;
  close(): Promise<void>;
}

/** Serves signed URLs with nothing but the driver: the edge adds the database. */
async function serve(storageFor: (publicUrl: string) => FsStorage): Promise<{ storage: FsStorage; close(): void }> {
  const server = createServer(async (request, response) => {
    try {
      const url = new URL(request.url ?? '', 'http://edge');
      const key = url.pathname.slice(OBJECTS_PATH.length);
      if (request.method === 'GET') {
        const { contentType } = storage.verifyGet(key, url.searchParams);
        response.setHeader('Content-Type', contentType);
        await pipeline(await storage.open(key), response);
      } else if (request.method === 'PUT') {
        const { contentLength, contentType, sha256 } = storage.verifyPut(key, url.searchParams);
        if (request.headers['content-type'] !== contentType) throw new RowhouseError('signature_invalid');
        if (Number(request.headers['content-length']) !== contentLength) throw new RowhouseError('upload_too_short');
        await storage.write(key, request, {
          expectedSize: contentLength,
          ...(sha256 ? { expectedSha256: sha256 } : {}),
        });
        response.writeHead(201).end();
      } else {
        throw new RowhouseError('signature_invalid');
      }
    } catch (error) {
      response.writeHead(error instanceof RowhouseError ? error.status : 500).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const storage = storageFor(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return { storage, close: () => server.closeAllConnections() ?? server.close() };
}

async function fsHarness(): Promise<Harness> {
  const directory = await mkdtemp(join(tmpdir(), 'rowhouse-storage-'));
  const { storage, close } = await serve((url) => createFsStorage(directory, 's'.repeat(32), url));
  return {
    storage,
    async list() {
      const entries = await readdir(directory, { recursive: true, withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    },
    async close() {
      close();
      await rm(directory, { recursive: true });
    },
  };
}

/** Against the double, or, with S3_ENDPOINT (and S3_BUCKET, keys …) set, against that server. */
async function s3Harness(): Promise<Harness> {
  const real = process.env.S3_ENDPOINT !== undefined;
  const double = await startS3Double();
  const ours = {
    S3_ENDPOINT: double.endpoint,
    S3_BUCKET: double.bucket,
    S3_REGION: double.region,
    S3_ACCESS_KEY_ID: double.accessKeyId,
    S3_SECRET_ACCESS_KEY: double.secretAccessKey,
    S3_FORCE_PATH_STYLE: 'true',
  };
  const env = { EDGE_DATABASE_URL: 'unused', STORAGE_DRIVER: 's3', ...(real ? process.env : ours) };
  const storage = await createStorage(readConfig(edgeSchema, env), 'http://unused');
  return { storage, list: async () => [...double.objects.keys()], close: double.close };
}

const newKey = () => `t_acme/files/${randomUUID()}`;
const later = () => new Date(Date.now() + 60_000);
const text = 'id,name\n1,Ada\n';
const digest = (body: string | Buffer) => createHash('sha256').update(body).digest('hex');

function put({ method, url, headers }: SignedRequest, body: string, changed: Record<string, string> = {}) {
  const { 'content-length': _, ...rest } = headers;
  return fetch(url, { method, headers: { ...rest, ...changed }, body });
}

describe.each([
  ['fs', fsHarness],
  ['s3', s3Harness],
] as const)('the %s driver', (_name, start) => {
  let harness: Harness;
  let storage: Storage;
  beforeAll(async () => {
    harness = await start();
    storage = harness.storage;
  });
  afterAll(() => harness.close());

  const signPut = (key: string, terms: { sha256?: string; expiresAt?: Date } = {}) =>
    storage.signPut({ key, contentLength: text.length, contentType: 'text/csv', expiresAt: later(), ...terms });
  const signGet = (key: string, expiresAt = later()) =>
    storage.signGet({ key, expiresAt, downloadName: 'people.csv', contentType: 'text/csv' });

  test('returns what was written, from any byte', async () => {
    const key = newKey();
    const stored = await storage.write(key, Readable.from([Buffer.from('id,name\n'), Buffer.from('1,Ada\n')]));
    expect(stored).toEqual({ size: text.length, sha256: digest(text) });
    expect(await storage.stat(key)).toEqual({ size: text.length });
    expect(String(await buffer(await storage.open(key)))).toBe(text);
    expect(String(await buffer(await storage.open(key, { start: 8 })))).toBe('1,Ada\n');
    expect(String(await buffer(await storage.open(key, { start: 3, end: 6 })))).toBe('name');
  });

  test('replaces an object, and forgets it', async () => {
    const key = newKey();
    await storage.write(key, Readable.from(['old']));
    await storage.write(key, Readable.from(['newer']));
    expect(String(await buffer(await storage.open(key)))).toBe('newer');
    await storage.remove(key);
    await storage.remove(key);
    expect(await storage.stat(key)).toBeUndefined();
    await expect(storage.open(key)).rejects.toMatchObject({ code: 'file_not_found' });
  });

  test('stores an empty body', async () => {
    const key = newKey();
    expect(await storage.write(key, Readable.from([]))).toEqual({ size: 0, sha256: digest('') });
    expect((await buffer(await storage.open(key))).length).toBe(0);
  });

  test.each([
    ['short', { expectedSize: text.length + 1 }, 'upload_too_short'],
    ['oversized', { expectedSize: text.length - 1 }, 'upload_too_large'],
    ['altered', { expectedSha256: digest('another') }, 'upload_checksum'],
  ])('keeps nothing of a body that is %s', async (_kind, terms, code) => {
    const before = await harness.list();
    const key = newKey();
    await expect(storage.write(key, Readable.from([text]), terms)).rejects.toMatchObject({ code });
    expect(await storage.stat(key)).toBeUndefined();
    expect(await harness.list()).toEqual(before);
  });

  test('keeps nothing of a body that breaks off', async () => {
    const before = await harness.list();
    const broken = Readable.from(
      (function* () {
        yield 'id,name\n';
        throw new Error('the source broke');
      })(),
    );
    await expect(storage.write(newKey(), broken)).rejects.toThrow('the source broke');
    expect(await harness.list()).toEqual(before);
  });

  test('lets a signed PUT store and a signed GET fetch', async () => {
    const key = newKey();
    const upload = await signPut(key, { sha256: digest(text) });
    expect(upload.headers).toMatchObject({ 'content-type': 'text/csv', 'content-length': String(text.length) });
    expect((await put(upload, text)).ok).toBe(true);
    const download = await fetch((await signGet(key)).url);
    expect([download.status, download.headers.get('content-type')]).toEqual([200, 'text/csv']);
    expect(await download.text()).toBe(text);
  });

  test('refuses a signed PUT with another length or type', async () => {
    const key = newKey();
    const upload = await signPut(key);
    expect((await put(upload, `${text}2,Eve\n`)).ok).toBe(false);
    expect((await put(upload, 'id\n')).ok).toBe(false);
    expect((await put(upload, text, { 'content-type': 'text/html' })).ok).toBe(false);
    expect(await storage.stat(key)).toBeUndefined();
    expect((await put(upload, text)).ok).toBe(true);
  });

  test('refuses a signed PUT with another checksum', async () => {
    const key = newKey();
    const upload = await signPut(key, { sha256: digest(text) });
    expect((await put(upload, text.toUpperCase())).ok).toBe(false);
    expect(await storage.stat(key)).toBeUndefined();
    expect((await put(upload, text)).ok).toBe(true);
  });

  test('refuses a signed URL for another key, another method or a later time', async () => {
    const [key, other] = [newKey(), newKey()];
    await storage.write(key, Readable.from([text]));
    await storage.write(other, Readable.from(['secret']));
    const { url } = await signGet(key);
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(url.replace(key, other))).status).toBe(403);
    expect((await fetch(url, { method: 'DELETE' })).status).toBe(403);
    expect((await fetch(url, { method: 'PUT', body: text, headers: { 'content-type': 'text/csv' } })).status).toBe(403);
    const stretched = url.replace(/(expires=)(\d+)/i, (_all, name, value) => `${name}${Number(value) + 1}`);
    expect(stretched).not.toBe(url);
    expect((await fetch(stretched)).status).toBe(403);
    const unsigned = url.replace(/signature=[^&]+/i, (found) => `${found.slice(0, -2)}00`);
    expect((await fetch(unsigned)).status).toBe(403);
  });

  test('refuses a signed URL that has expired', async () => {
    const key = newKey();
    await storage.write(key, Readable.from([text]));
    const { url } = await signGet(key, new Date(Date.now() + 1000));
    await expect.poll(async () => (await fetch(url)).status, { timeout: 5000 }).toBe(403);
  });

  test.each([
    '../t_acme/files/0190b5a8-7c00-7000-8000-000000000000',
    't_acme/files/../../t_globex/files/0190b5a8-7c00-7000-8000-000000000000',
    't_acme/files/%2e%2e',
    't_acme/files/0190b5a8-7c00-7000-8000-00000000000',
    't_acme/files/0190B5A8-7C00-7000-8000-000000000000',
    't_acme/files/0190b5a8-7c00-7000-8000-000000000000\n',
    't_acme/other/0190b5a8-7c00-7000-8000-000000000000',
    't__acme/files/0190b5a8-7c00-7000-8000-000000000000',
    '/t_acme/files/0190b5a8-7c00-7000-8000-000000000000',
    `t_${'a'.repeat(48)}/files/0190b5a8-7c00-7000-8000-000000000000`,
    '',
  ])('refuses the key %j everywhere', async (key) => {
    const invalid = { code: 'object_key_invalid' };
    await expect(signPut(key)).rejects.toMatchObject(invalid);
    await expect(signGet(key)).rejects.toMatchObject(invalid);
    await expect(storage.open(key)).rejects.toMatchObject(invalid);
    await expect(storage.write(key, Readable.from([text]))).rejects.toMatchObject(invalid);
    await expect(storage.stat(key)).rejects.toMatchObject(invalid);
    await expect(storage.remove(key)).rejects.toMatchObject(invalid);
  });
});

describe('the fs driver alone', () => {
  let harness: Harness;
  let storage: FsStorage;
  beforeAll(async () => {
    harness = await fsHarness();
    storage = harness.storage as FsStorage;
  });
  afterAll(() => harness.close());

  test('shows a staged body only when it is published', async () => {
    const key = newKey();
    const staged = await storage.stage(key, Readable.from([text]));
    expect(await storage.stat(key)).toBeUndefined();
    await staged.publish();
    await staged.discard();
    expect(await storage.stat(key)).toEqual({ size: text.length });
  });

  test('leaves nothing of a discarded body', async () => {
    const before = await harness.list();
    await (await storage.stage(newKey(), Readable.from([text]))).discard();
    expect(await harness.list()).toEqual(before);
  });

  test('refuses a URL with a field added, repeated or left out', async () => {
    const key = newKey();
    const { url } = await storage.signGet({ key, expiresAt: later(), downloadName: 'a', contentType: 'text/csv' });
    const search = () => new URL(url).searchParams;
    expect(storage.verifyGet(key, search())).toMatchObject({ key, downloadName: 'a', contentType: 'text/csv' });
    const added = search();
    added.append('length', '1');
    const repeated = search();
    repeated.append('type', 'text/html');
    const without = search();
    without.delete('expires');
    for (const changed of [added, repeated, without]) {
      expect(() => storage.verifyGet(key, changed)).toThrow(expect.objectContaining({ code: 'signature_invalid' }));
    }
    expect(() => storage.verifyPut(key, search())).toThrow(expect.objectContaining({ code: 'signature_invalid' }));
  });

  test('refuses to sign without a secret', async () => {
    const blind = createFsStorage(tmpdir(), undefined, 'http://edge');
    const terms = { key: newKey(), expiresAt: later(), downloadName: 'a', contentType: 'text/csv' };
    await expect(blind.signGet(terms)).rejects.toMatchObject({ code: 'config_invalid' });
  });
});

test('asks for a bucket when the driver is s3', async () => {
  const config = readConfig(edgeSchema, { EDGE_DATABASE_URL: 'unused', STORAGE_DRIVER: 's3' });
  await expect(createStorage(config, 'http://unused')).rejects.toMatchObject({ code: 'config_invalid' });
});
