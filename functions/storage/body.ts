import { createHash } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { RowhouseError } from '../errors.ts';
import type { BodySource, StoredObject, WriteTerms } from './driver.ts';

/** Passes the bytes on while it counts and hashes them into `seen`; fails as soon as they break the terms. */
async function* measured(source: BodySource, terms: WriteTerms, seen: StoredObject): AsyncGenerator<Uint8Array> {
  const { expectedSize, expectedSha256 } = terms;
  const hash = createHash('sha256');
  for await (const chunk of source) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    seen.size += bytes.length;
    if (expectedSize !== undefined && seen.size > expectedSize) {
      throw new RowhouseError('upload_too_large', { detail: `${expectedSize} bytes were announced.` });
    }
    hash.update(bytes);
    yield bytes;
  }
  seen.sha256 = hash.digest('hex');
  if (expectedSize !== undefined && seen.size < expectedSize) {
    const detail = `${expectedSize} bytes were announced, ${seen.size} came.`;
    throw new RowhouseError('upload_too_short', { detail });
  }
  if (expectedSha256 !== undefined && seen.sha256 !== expectedSha256) {
    throw new RowhouseError('upload_checksum', { detail: `The body's SHA-256 is ${seen.sha256}.` });
  }
}

/**
 * Reads a whole body without keeping it.
 * @throws RowhouseError upload_too_large, upload_too_short, upload_checksum when it is not what the terms say
 */
export async function measure(source: BodySource, terms: WriteTerms): Promise<StoredObject> {
  const seen: StoredObject = { size: 0, sha256: '' };
  for await (const _ of measured(source, terms, seen));
  return seen;
}

/**
 * Writes the source to a new file and flushes it to the disk; leaves no file behind on any error.
 * @throws RowhouseError as measure(); upload_too_short when the sender goes away; storage_unavailable for the disk
 */
export async function spool(path: string, source: BodySource, terms: WriteTerms): Promise<StoredObject> {
  const seen: StoredObject = { size: 0, sha256: '' };
  const file = await open(path, 'wx', 0o600).catch((error) => {
    throw diskError(error);
  });
  try {
    for await (const bytes of measured(source, terms, seen)) await file.writeFile(bytes);
    await file.sync();
  } catch (error) {
    await unlink(path).catch(() => {});
    throw spoolError(error, seen);
  } finally {
    await file.close();
  }
  return seen;
}

/** The store's own file system failed. */
export function diskError(cause: unknown): RowhouseError {
  return new RowhouseError('storage_unavailable', { headers: { 'Retry-After': '5' }, cause });
}

function spoolError(error: unknown, seen: StoredObject): unknown {
  if (error instanceof RowhouseError) return error;
  const { code } = error as NodeJS.ErrnoException;
  // Node's names for a sender that closed or reset its connection before the last byte.
  if (code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE' || code === 'ABORT_ERR') {
    const detail = `The connection ended after ${seen.size} bytes.`;
    return new RowhouseError('upload_too_short', { detail, cause: error });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO' || code === 'EROFS') return diskError(error);
  return error;
}
