import { RowhouseError } from '../errors.ts';
import { isTenantId } from '../tenant.ts';

const KEY = /^([^/]+)\/files\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/**
 * The only door for object keys: lower case, no dots, no escapes, so a key can never name anything outside its tenant.
 * @throws RowhouseError object_key_invalid
 */
export function parseObjectKey(key: string): { tenantId: string; fileId: string } {
  const [, tenantId, fileId] = KEY.exec(key) ?? [];
  if (!isTenantId(tenantId) || !fileId) {
    throw new RowhouseError('object_key_invalid', { hint: 'A key is {tenant_id}/files/{file id}.' });
  }
  return { tenantId, fileId };
}

/**
 * The key of a file's body.
 * @throws RowhouseError object_key_invalid
 */
export function objectKey(tenantId: string, fileId: string): string {
  const key = `${tenantId}/files/${fileId}`;
  parseObjectKey(key);
  return key;
}
