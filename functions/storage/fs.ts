import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { RowhouseError } from '../errors.ts';
import { diskError, spool } from './body.ts';
import type { BodySource, GetTerms, PutTerms, StorageDriver, StoredObject, WriteTerms } from './driver.ts';
import { parseObjectKey } from './key.ts';
import { getQuery, putQuery, verifyGet, verifyPut } from './signature.ts';

/** The path of the edge that fs URLs point to. */
export const OBJECTS_PATH = '/storage/v1/objects/';

/** A staged body older than this belongs to a process that died: an upload in progress keeps touching its file. */
const ABANDONED_MS = 24 * 3600 * 1000;

/** A body that is whole and on the disk, but not yet under its key. */
export interface StagedObject extends StoredObject {
  /** Puts it under its key in one step, replacing what is there. */
  publish(): Promise<void>;
  /** Forgets it; harmless after publish(). */
  discard(): Promise<void>;
}

/** The fs driver also serves its own signed URLs, through the edge. */
export interface FsStorage extends StorageDriver {
  kind: 'fs';
  /** As write(), but nothing is under the key until publish(). */
  stage(key: string, source: BodySource, terms?: WriteTerms): Promise<StagedObject>;
  /** @throws RowhouseError object_key_invalid, signature_invalid, signature_expired */
  verifyPut(key: string, search: URLSearchParams): PutTerms;
  /** @throws RowhouseError object_key_invalid, signature_invalid, signature_expired */
  verifyGet(key: string, search: URLSearchParams): GetTerms;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  await directory.sync().finally(() => directory.close());
}

/**
 * Objects as files below one directory, which every edge and worker of the installation must share.
 * @param secret signs URLs; a process that signs none (the worker) can go without
 * @param publicUrl where clients reach the edge
 */
export function createFsStorage(directory: string, secret: string | undefined, publicUrl: string): FsStorage {
  const root = resolve(directory);
  const staging = join(root, '.staging');
  let swept: Promise<void> | undefined;

  function pathOf(key: string): string {
    const { tenantId, fileId } = parseObjectKey(key);
    return join(root, tenantId, 'files', fileId);
  }

  function signingSecret(): string {
    if (secret) return secret;
    throw new RowhouseError('config_invalid', { detail: 'STORAGE_SECRET: required to sign URLs' });
  }

  async function sweep(): Promise<void> {
    await mkdir(staging, { recursive: true, mode: 0o700 });
    for (const name of await readdir(staging)) {
      const path = join(staging, name);
      const abandoned = await stat(path).then(
        ({ mtimeMs }) => mtimeMs < Date.now() - ABANDONED_MS,
        () => false,
      );
      if (abandoned) await unlink(path).catch(() => {});
    }
  }

  async function stage(key: string, source: BodySource, terms: WriteTerms = {}): Promise<StagedObject> {
    const path = pathOf(key);
    const temporary = join(staging, randomUUID());
    swept ??= sweep();
    await swept.catch((error) => {
      swept = undefined;
      throw diskError(error);
    });
    const stored = await spool(temporary, source, terms);
    return {
      ...stored,
      async publish() {
        try {
          const created = await mkdir(dirname(path), { recursive: true, mode: 0o700 });
          await rename(temporary, path);
          // A name is on the disk once its directory is: the tenant's two directories may be new as well.
          const changed = [dirname(path), ...(created ? [dirname(dirname(path)), root] : [])];
          for (const parent of changed) await syncDirectory(parent);
        } catch (error) {
          throw diskError(error);
        }
      },
      discard: () => unlink(temporary).catch(() => {}),
    };
  }

  const target = (key: string) => new URL(`${OBJECTS_PATH}${key}`, publicUrl).href;

  return {
    kind: 'fs',
    async signPut(terms) {
      parseObjectKey(terms.key);
      const headers = { 'content-type': terms.contentType, 'content-length': String(terms.contentLength) };
      return { method: 'PUT', url: `${target(terms.key)}?${putQuery(signingSecret(), terms)}`, headers };
    },
    async signGet(terms) {
      parseObjectKey(terms.key);
      return { method: 'GET', url: `${target(terms.key)}?${getQuery(signingSecret(), terms)}`, headers: {} };
    },
    verifyPut(key, search) {
      parseObjectKey(key);
      return verifyPut(signingSecret(), key, search);
    },
    verifyGet(key, search) {
      parseObjectKey(key);
      return verifyGet(signingSecret(), key, search);
    },
    async open(key, range = {}) {
      try {
        const file = await open(pathOf(key), 'r');
        return createReadStream('', { ...range, fd: file });
      } catch (error) {
        if (isMissing(error)) throw new RowhouseError('file_not_found', { cause: error });
        throw error instanceof RowhouseError ? error : diskError(error);
      }
    },
    stage,
    async write(key, source, terms) {
      const { publish, discard, ...stored } = await stage(key, source, terms);
      await publish().catch(async (error) => {
        await discard();
        throw error;
      });
      return stored;
    },
    async stat(key) {
      try {
        return { size: (await stat(pathOf(key))).size };
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error instanceof RowhouseError ? error : diskError(error);
      }
    },
    async remove(key) {
      await unlink(pathOf(key)).catch((error) => {
        if (!isMissing(error)) throw diskError(error);
      });
    },
  };
}
