import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { RowhouseError } from '../errors.ts';
import { spool } from './body.ts';
import { contentDisposition } from './disposition.ts';
import type { ByteRange, StorageDriver } from './driver.ts';
import { parseObjectKey } from './key.ts';

/** Clients put and get objects at the bucket itself; the edge only signs. */
export interface S3Storage extends StorageDriver {
  kind: 's3';
}

const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
const lifetime = (expiresAt: Date) => Math.max(1, Math.ceil((expiresAt.getTime() - Date.now()) / 1000));

function isMissing(error: unknown): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404;
}

function storeError(cause: unknown): RowhouseError {
  if (cause instanceof RowhouseError) return cause;
  return new RowhouseError('storage_unavailable', { headers: { 'Retry-After': '5' }, cause });
}

function rangeHeader({ start, end }: ByteRange): string | undefined {
  return start === undefined && end === undefined ? undefined : `bytes=${start ?? 0}-${end ?? ''}`;
}

/** @param bucket must exist and be private; `If-None-Match` on PUT must be supported, or a signed URL can be used twice */
export function createS3Storage(bucket: string, config: S3ClientConfig): S3Storage {
  // By default the SDK signs the CRC32 of an empty body into PUT URLs.
  const client = new S3Client({
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    ...config,
  });

  function place(key: string): { Bucket: string; Key: string } {
    parseObjectKey(key);
    return { Bucket: bucket, Key: key };
  }

  return {
    kind: 's3',
    async signPut({ key, contentLength, contentType, expiresAt, sha256 }) {
      const checksum = sha256 === undefined ? {} : { ChecksumSHA256: base64(sha256) };
      const headers = {
        'content-type': contentType,
        'content-length': String(contentLength),
        'if-none-match': '*',
        ...(sha256 === undefined ? {} : { 'x-amz-checksum-sha256': base64(sha256) }),
      };
      const terms = { ContentLength: contentLength, ContentType: contentType, IfNoneMatch: '*', ...checksum };
      const url = await getSignedUrl(client, new PutObjectCommand({ ...place(key), ...terms }), {
        expiresIn: lifetime(expiresAt),
        signableHeaders: new Set(Object.keys(headers)),
        unhoistableHeaders: new Set(['x-amz-checksum-sha256']),
      });
      return { method: 'PUT', url, headers };
    },
    async signGet({ key, expiresAt, downloadName, contentType }) {
      const command = new GetObjectCommand({
        ...place(key),
        ResponseContentType: contentType,
        ResponseContentDisposition: contentDisposition(downloadName),
      });
      return {
        method: 'GET',
        url: await getSignedUrl(client, command, { expiresIn: lifetime(expiresAt) }),
        headers: {},
      };
    },
    async open(key, range = {}) {
      const command = new GetObjectCommand({ ...place(key), Range: rangeHeader(range) });
      const { Body } = await client.send(command).catch((error) => {
        throw isMissing(error) ? new RowhouseError('file_not_found', { cause: error }) : storeError(error);
      });
      return Body as Readable;
    },
    /** S3 wants the length before the first byte, and the checksum lets it refuse a damaged body: so to a file first. */
    async write(key, source, terms = {}) {
      const target = place(key);
      const path = join(tmpdir(), `rowhouse-${randomUUID()}`);
      const stored = await spool(path, source, terms);
      try {
        const command = new PutObjectCommand({
          ...target,
          Body: createReadStream(path),
          ContentLength: stored.size,
          ChecksumSHA256: base64(stored.sha256),
        });
        await client.send(command);
        return stored;
      } catch (error) {
        throw storeError(error);
      } finally {
        await unlink(path);
      }
    },
    async stat(key) {
      try {
        const { ContentLength = 0 } = await client.send(new HeadObjectCommand(place(key)));
        return { size: ContentLength };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw storeError(error);
      }
    },
    async remove(key) {
      await client.send(new DeleteObjectCommand(place(key))).catch((error) => {
        if (!isMissing(error)) throw storeError(error);
      });
    },
  };
}
