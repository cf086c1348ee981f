import type { StorageConfig } from '../config.ts';
import { RowhouseError } from '../errors.ts';
import { createFsStorage, type FsStorage } from './fs.ts';
import type { S3Storage } from './s3.ts';

export type Storage = FsStorage | S3Storage;

/**
 * The storage that the configuration names.
 * @param publicUrl where clients reach the edge; only signed URLs of the fs driver use it
 * @throws RowhouseError config_invalid
 */
export async function createStorage(config: StorageConfig, publicUrl: string): Promise<Storage> {
  if (config.STORAGE_DRIVER === 'fs') return createFsStorage(config.STORAGE_DIR, config.STORAGE_SECRET, publicUrl);
  const { S3_BUCKET, S3_REGION, S3_ENDPOINT, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_FORCE_PATH_STYLE } = config;
  if (!S3_BUCKET)
    throw new RowhouseError('config_invalid', { detail: 'S3_BUCKET: required when STORAGE_DRIVER is s3' });
  // The AWS SDK takes 20 MB: only those who use it load it.
  const { createS3Storage } = await import('./s3.ts');
  return createS3Storage(S3_BUCKET, {
    region: S3_REGION,
    forcePathStyle: S3_FORCE_PATH_STYLE,
    ...(S3_ENDPOINT ? { endpoint: S3_ENDPOINT } : {}),
    // Without keys here the SDK looks in its usual places (instance role, profile).
    ...(S3_ACCESS_KEY_ID && S3_SECRET_ACCESS_KEY
      ? { credentials: { accessKeyId: S3_ACCESS_KEY_ID, secretAccessKey: S3_SECRET_ACCESS_KEY } }
      : {}),
  });
}
