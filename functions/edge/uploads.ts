import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Pool } from '../database.ts';
import { RowhouseError } from '../errors.ts';
import { measure } from '../storage/body.ts';
import { objectKey } from '../storage/key.ts';
import type { Storage } from '../storage/storage.ts';
import { bearerToken, type ExchangeApiKey } from './bearer.ts';
import { announceFile, type FileRow, markStored, readFile } from './files.ts';
import { checkClaimedTenant, type Hosts } from './tenant-resolution.ts';

export interface UploadSettings {
  maxBytes: number;
  urlTtlSeconds: number;
  exchangeApiKey: ExchangeApiKey;
  hosts: Hosts;
}

/** An announcement is some hundred bytes. */
const BODY_BYTES = 16 * 1024;

/** As the checks of app.files, so that a refusal names the member. */
const announcementSchema = z.strictObject({
  name: z
    .string()
    .refine((name) => /^[^\p{Cc}/\\]{1,255}$/u.test(name), '1 to 255 characters, no control characters, / or \\'),
  content_type: z
    .string()
    .regex(/^[\w!#$&^.+-]{1,80}\/[\w!#$&^.+-]{1,80}(; ?charset=[\w-]{1,40})?$/, 'a media type such as text/csv'),
  size: z.int().min(0),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, '64 lower-case hexadecimal digits')
    .optional(),
});

function fileId(request: FastifyRequest): string {
  return z.object({ id: z.guid() }).parse(request.params).id;
}

const state = ({ id, size, sha256, status }: FileRow) => ({ id, size, sha256, status });

/**
 * Checks what a client put into the bucket against what it announced; removes what does not match.
 * @throws RowhouseError file_pending, upload_too_large, upload_too_short, upload_checksum
 */
async function checkDirectUpload(storage: Storage, key: string, file: FileRow) {
  const found = await storage.stat(key);
  if (!found) throw new RowhouseError('file_pending', { hint: 'Send the body to the upload URL first.' });
  const terms = { expectedSize: file.size, ...(file.sha256 ? { expectedSha256: file.sha256 } : {}) };
  try {
    return await measure(await storage.open(key), terms);
  } catch (error) {
    if (error instanceof RowhouseError && error.code.startsWith('upload_')) await storage.remove(key);
    throw error;
  }
}

/** Routes under /storage/v1 that take a bearer token: announce an upload, complete one, fetch a file. */
export function serveUploads(server: FastifyInstance, pool: Pool, storage: Storage, settings: UploadSettings): void {
  const bearer = async (request: FastifyRequest) => {
    const token = await bearerToken(request, settings.exchangeApiKey);
    await checkClaimedTenant(settings.hosts, request.headers, token);
    return token;
  };
  const expiry = () => new Date(Date.now() + settings.urlTtlSeconds * 1000);

  server.post('/storage/v1/uploads', { bodyLimit: BODY_BYTES }, async (request, reply) => {
    const token = await bearer(request);
    const announcement = announcementSchema.parse(request.body);
    if (announcement.size > settings.maxBytes) {
      throw new RowhouseError('upload_too_large', { detail: `A file can have ${settings.maxBytes} bytes.` });
    }
    const file = await announceFile(pool, token, announcement);
    const expiresAt = expiry();
    const upload = await storage.signPut({
      key: objectKey(file.tenant_id, file.id),
      contentLength: file.size,
      contentType: file.content_type,
      expiresAt,
      ...(file.sha256 ? { sha256: file.sha256 } : {}),
    });
    reply.code(201).header('location', `/storage/v1/files/${file.id}`).header('cache-control', 'private, no-store');
    return { file, upload: { ...upload, expires_at: expiresAt.toISOString() } };
  });

  server.post('/storage/v1/uploads/:id/complete', { bodyLimit: BODY_BYTES }, async (request) => {
    const token = await bearer(request);
    const id = fileId(request);
    const file = await readFile(pool, token, id);
    if (file.status === 'stored') return state(file);
    if (storage.kind === 'fs') {
      throw new RowhouseError('file_pending', { hint: 'Send the body to the upload URL: that completes the upload.' });
    }
    // Hashing gigabytes sends nothing for longer than an idle connection may live.
    request.raw.socket.setTimeout(0);
    const key = objectKey(file.tenant_id, file.id);
    const stored = await checkDirectUpload(storage, key, file);
    await markStored(pool, key, stored).catch((error) => {
      const raced = error instanceof RowhouseError && error.code === 'file_exists';
      if (!raced) throw error;
    });
    return state(await readFile(pool, token, id));
  });

  server.get('/storage/v1/files/:id', async (request, reply) => {
    const file = await readFile(pool, await bearer(request), fileId(request));
    if (file.status === 'pending') throw new RowhouseError('file_pending');
    const { url } = await storage.signGet({
      key: objectKey(file.tenant_id, file.id),
      expiresAt: expiry(),
      downloadName: file.name,
      contentType: file.content_type,
      ...(file.sha256 ? { sha256: file.sha256 } : {}),
    });
    return reply.header('cache-control', 'private, no-store').redirect(url, 302);
  });
}
